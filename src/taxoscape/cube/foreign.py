"""Cubes that somebody else made: DataArrays, Datasets, NetCDF files, Zarr stores.

They are shown as cubes of ours without being loaded: a reader cuts windows out of their variables. Dimensions may have
other names and another order, rows may run northwards, dates may be unsorted; what cannot be guessed (no time, no CRS,
uneven spacing, types that differ) is refused. Values stay as they are stored: scale and offset are not applied, as
they are not for GeoTIFFs. One exception: where a variable ``scales`` (time, y, x) of reals stands beside the cube, as
in stores of 8-bit embeddings with a scale for each pixel, values are multiplied by it, and a scale that is not finite
means no data; unmultiplied, pixels could not be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from taxoscape.cube.bands import pick_bands
from taxoscape.cube.box import Box
from taxoscape.cube.lazy import assemble
from taxoscape.cube.mosaic import valid_pixels
from taxoscape.cube.rasters import sniff
from taxoscape.cube.wording import shown
from taxoscape.errors import InputError
from taxoscape.grid import Lattice

if TYPE_CHECKING:
    import numpy.typing as npt

_NAMES = {
    "time": ("time", "t", "timestamp", "date", "dates"),
    "band": ("band", "bands", "variable", "channel", "wavelength"),
    "y": ("y", "lat", "latitude", "northing"),
    "x": ("x", "lon", "longitude", "easting"),
}


def adopt(
    array: xr.DataArray | xr.Dataset,
    *,
    bands: Sequence[str] = (),
    nodata: float | None = None,
    name: str = "the array",
) -> xr.DataArray:
    """Show an array as a cube.

    Parameters
    ----------
    array
        A DataArray with the dims time, y, x and, where it has several bands, band, in any order and under usual names;
        or a Dataset of one such array, or of one variable (time, y, x) for each band. A boolean ``valid`` (time, y, x)
        is kept, and narrowed by a nodata that is given; without it, validity follows from nodata and NaN.
    bands
        Bands to take, as names or 1-based numbers, in this order; empty: all.
    nodata
        Value that means "no data"; None: the attribute ``nodata``, ``_FillValue`` or ``missing_value``.
    name
        What messages call the array.

    Returns
    -------
    DataArray (time, band, y, x)
        A cube by contract, as lazy as the array was.

    Raises
    ------
    InputError
        Where a dimension or the CRS is missing, coordinates are not dates or not evenly spaced, a date is there twice,
        or variables differ in type or nodata.
    """
    dataset, scales = _without_scales(_dataset(array))
    layers, valid = _layers(dataset, name)
    layers = {band: layers[band] for band in pick_bands(list(layers), bands)}
    first = next(iter(layers.values()))
    times, order = _times(first, name)
    lattice = _lattice(dataset, first, name)
    types = {str(_type(layer)) for layer in layers.values()}
    if len(types) > 1 or np.dtype(next(iter(types))).kind not in "uif":
        raise InputError(f"{name} holds {', '.join(sorted(types))}: bands are integers or reals of one type (--bands)")
    reader = _Layers(
        layers=[layer.reset_coords(drop=True) for layer in layers.values()],
        valid_layer=valid,
        narrowed=nodata is not None,
        order=order,
        flipped=_is_flipped(first),
        nodata=_nodata(layers, nodata, name) if scales is None else nodata,
        scales=scales,
    )
    dtype = next(iter(types)) if scales is None else "float32"
    return assemble(reader, dtype=dtype, times=times, bands=list(layers), lattice=lattice, nodata=reader.nodata)


def open_netcdf(path: Path) -> xr.Dataset:
    """Open a NetCDF file, values as stored.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    engine = "scipy" if sniff(path) == "netcdf" else "h5netcdf"
    try:
        return xr.open_dataset(path, engine=engine, chunks=None, cache=False, mask_and_scale=False)
    except ImportError:
        raise InputError(f"{shown(path)} is NetCDF-4, which needs the package h5py: pip install h5py") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{shown(path)} cannot be read as NetCDF: {error}") from error


def open_zarr(path: Path) -> xr.Dataset:
    """Open a Zarr group that somebody else wrote, values as stored.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    try:
        return xr.open_dataset(path, engine="zarr", chunks=None, cache=False, consolidated=False, mask_and_scale=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{shown(path)} cannot be read as Zarr: {error}") from error


@dataclass(frozen=True, kw_only=True)
class _Layers:
    """Reads windows of foreign variables; `taxoscape.cube.lazy.Reader`."""

    layers: Sequence[xr.DataArray]
    """A variable (time, y, x) for each band."""
    valid_layer: xr.DataArray | None
    """Boolean (time, y, x), or None where it follows from the values."""
    narrowed: bool
    """Whether what the values say counts besides ``valid_layer``."""
    order: npt.NDArray[np.intp]
    """Where each date of the cube lies in the variables."""
    flipped: bool
    """Whether their rows run northwards."""
    nodata: float | None
    """Value that means "no data"."""
    scales: xr.DataArray | None = None
    """Real (time, y, x) by which values are multiplied, or None."""

    def values(self, time: int, bands: Sequence[int], box: Box) -> npt.NDArray[Any]:
        """Read bands of a date in a window: (band, row, col)."""
        stored = np.stack([self._get(self.layers[band], time, box) for band in bands])
        if self.scales is None:
            return stored
        scale = self._get(self.scales, time, box).astype(np.float32)
        return stored.astype(np.float32) * np.where(np.isfinite(scale), scale, np.float32(np.nan))

    def valid(self, time: int, box: Box) -> npt.NDArray[np.bool_]:
        """Read which pixels of a date can be used in a window: bool (row, col)."""
        mask = None if self.valid_layer is None else self._get(self.valid_layer, time, box)
        if mask is not None and not self.narrowed:
            return mask
        if self.scales is not None and self.nodata is None:
            known: npt.NDArray[np.bool_] = np.isfinite(self._get(self.scales, time, box))
            return known
        usable = valid_pixels(self.values(time, range(len(self.layers)), box), self.nodata)
        return usable if mask is None else usable & mask

    def _get(self, layer: xr.DataArray, time: int, box: Box) -> npt.NDArray[Any]:
        rows, cols = box.slices
        if self.flipped:
            height = layer.shape[1]
            rows = slice(height - rows.stop, height - rows.start)
        window = np.asarray(layer[int(self.order[time]), rows, cols].to_numpy()).astype(_type(layer), copy=False)
        return window[::-1] if self.flipped else window


def _dataset(array: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Return a dataset whose dims and coordinates have our names."""
    if isinstance(array, xr.DataArray):
        taken = {"valid", *_NAMES, *array.dims, *array.coords}
        dataset = array.to_dataset(name="1" if array.name is None or array.name in taken else array.name)
    else:
        dataset = array
    known = {str(name).lower(): name for name in dataset.dims}
    names = {}
    for ours, theirs in _NAMES.items():
        found = next((known[name] for name in theirs if name in known), None)
        if found is not None and found != ours:
            names[found] = ours
    return dataset.rename(names) if names else dataset


def _without_scales(dataset: xr.Dataset) -> tuple[xr.Dataset, xr.DataArray | None]:
    """Return a dataset without the scales of its pixels, and these: (time, y, x), or None where it has none."""
    scales = dataset.data_vars.get("scales")
    if scales is None or scales.dtype.kind != "f" or set(scales.dims) != {"time", "y", "x"}:
        return dataset, None
    if not any({"time", "band", "y", "x"} == set(layer.dims) for layer in dataset.data_vars.values()):
        return dataset, None
    return dataset.drop_vars("scales"), scales.transpose("time", "y", "x").reset_coords(drop=True)


def _layers(dataset: xr.Dataset, name: str) -> tuple[dict[str, xr.DataArray], xr.DataArray | None]:
    """Return a variable (time, y, x) for each band, and the boolean ``valid`` where there is one."""
    wanted = {"time", "y", "x"}
    valid = dataset["valid"] if "valid" in dataset.variables else None
    if valid is not None and (valid.dtype != np.bool_ or set(valid.dims) != wanted):
        valid = None
    fit = [v for key, v in dataset.data_vars.items() if wanted <= set(v.dims) <= wanted | {"band"} and key != "valid"]
    if not fit:
        dims = "; ".join(f"{key} {tuple(map(str, v.dims))}" for key, v in list(dataset.data_vars.items())[:4])
        raise InputError(
            f"{name} holds no cube: one has the dims time, y and x, and band where there are several, but here is "
            f"{dims}; rename or add dims (array.rename, array.expand_dims)"
        )
    stacked = [v for v in fit if "band" in v.dims]
    if stacked and len(fit) > 1:
        raise InputError(f"{name} holds several cubes ({', '.join(str(v.name) for v in fit)}): give one of them")
    layers: dict[str, xr.DataArray] = {}
    for variable in fit:
        if "band" not in variable.dims:
            layers[str(variable.name)] = variable.transpose("time", "y", "x")
            continue
        names = variable["band"].to_numpy() if "band" in variable.coords else np.arange(1, variable.sizes["band"] + 1)
        for i, band in enumerate(names):
            layers[str(band)] = variable.isel(band=i).transpose("time", "y", "x")
    return layers, None if valid is None else valid.transpose("time", "y", "x").reset_coords(drop=True)


def _times(layer: xr.DataArray, name: str) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.intp]]:
    """Return the dates, rising, and where each lies in the array."""
    if "time" not in layer.coords or not np.issubdtype(layer["time"].dtype, np.datetime64):
        raise InputError(f"{name} has no dates along 'time': give it a coordinate 'time' of datetime64 (assign_coords)")
    times = layer["time"].to_numpy()
    order = np.argsort(times, kind="stable")
    times = times[order]
    if np.isnat(times).any() or (np.diff(times) == np.timedelta64(0)).any():
        raise InputError(f"{name} has a date twice or not at all along 'time': each date of a cube is there once")
    return times, order


def _lattice(dataset: xr.Dataset, layer: xr.DataArray, name: str) -> Lattice:
    """Return the pixels of an array, north up."""
    reference = _reference(dataset, layer)
    if reference is None:
        raise InputError(
            f"{name} has no CRS: it needs a variable 'spatial_ref' or 'crs' with the attribute 'crs_wkt' "
            "(with rioxarray: array.rio.write_crs)"
        )
    missing = [axis for axis in ("y", "x") if axis not in layer.coords]
    if missing:
        raise InputError(f"{name} has no coordinate {' and '.join(missing)}: nothing tells where its pixels lie")
    y = layer["y"].to_numpy()
    frame = xr.Dataset(
        coords={
            "y": y[::-1] if _is_flipped(layer) else y,
            "x": layer["x"].to_numpy(),
            "spatial_ref": ((), 0, reference),
        }
    )
    return Lattice.of(frame)


def _reference(dataset: xr.Dataset, layer: xr.DataArray) -> dict[str, str] | None:
    """Return ``crs_wkt`` and, for arrays of one row or column, ``GeoTransform``."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    named = layer.attrs.get("grid_mapping") or layer.encoding.get("grid_mapping")
    for key in (named, "spatial_ref", "crs"):
        if key not in dataset.variables:
            continue
        attributes = dataset.variables[key].attrs
        text = attributes.get("crs_wkt") or attributes.get("spatial_ref")
        try:
            system = CRS.from_wkt(text) if text else CRS.from_cf(attributes)
        except (CRSError, KeyError):
            continue
        found = {"crs_wkt": system.to_wkt()}
        if 1 in (layer.sizes["y"], layer.sizes["x"]) and "GeoTransform" in attributes:
            found["GeoTransform"] = str(attributes["GeoTransform"])
        return found
    return None


def _is_flipped(layer: xr.DataArray) -> bool:
    y = layer.coords.get("y")
    return y is not None and len(y) > 1 and bool(y[-1] > y[0])


def _type(layer: xr.DataArray) -> np.dtype[Any]:
    """Return the type of the values, unsigned where a NetCDF attribute says so."""
    unsigned = str(layer.attrs.get("_Unsigned", "")).lower() == "true" and layer.dtype.kind == "i"
    return np.dtype(f"u{layer.dtype.itemsize}") if unsigned else layer.dtype


def _nodata(layers: Mapping[str, xr.DataArray], given: float | None, name: str) -> float | None:
    if given is not None:
        return given
    found: dict[str, float] = {}
    for layer in layers.values():
        for key in ("nodata", "_FillValue", "missing_value"):
            value = layer.attrs.get(key)
            if value is not None:
                number = float(np.asarray(value).astype(_type(layer)).ravel()[0])
                found["nan" if math.isnan(number) else repr(number)] = number
                break
    if len(found) > 1:
        raise InputError(
            f"the bands of {name} have different values for no data ({', '.join(found)}): give one (--nodata)"
        )
    return next(iter(found.values()), None)
