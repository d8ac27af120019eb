"""Series and zones on disk: Zarr v3 with checksums, written block by block.

A series is written under its work folder, one chunk (a block of tiles over all dates) at a time; a block that is there
was written whole, so a run that was killed goes on with the blocks that are missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.contracts import tile_coordinates
from taxoscape.errors import RunFolderError

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr
    import zarr

    from taxoscape.grid import Grid

CHUNK_BYTES = 32 * 2**20
"""Bytes of pixels (at 4 bytes each) that a block of a series covers: what a killed run loses at most,
but for overlapping tiles, whose blocks are rows of sheets (`taxoscape.embedding.overlap`)."""


def create_series(
    path: Path, grid: Grid, times: npt.NDArray[Any], n_features: int, tiles_per_chunk: int
) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
    """Open the arrays ``embedding`` and ``valid`` of a series store that is being written, or make them, empty.

    A file ``<path>.begun`` beside it says that its arrays are all there.
    """
    import zarr

    begun = path.with_name(f"{path.name}.begun")
    if begun.is_file() and (path / "zarr.json").is_file():
        return open_series(path)
    group = zarr.open_group(path, mode="w")
    shape, chunk = (grid.n_tiles, len(times), n_features), min(tiles_per_chunk, grid.n_tiles)
    embedding = _array(group, "embedding", shape, (chunk, *shape[1:]), ("tile", "time", "feature"), "float32", np.nan)
    valid = _array(group, "valid", shape[:2], (chunk, shape[1]), ("tile", "time"), "float32", np.nan)
    begun.touch()
    return embedding, valid


def open_series(path: Path) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
    """Return the arrays ``embedding`` and ``valid`` of a series store that is being written."""
    import zarr

    group = zarr.open_group(path, mode="r+")
    return _member(group, "embedding"), _member(group, "valid")


def written(path: Path, number: int) -> bool:
    """Whether block ``number`` of a series store was written; ``valid`` is written last."""
    chunk = path / "valid" / "c" / str(number) / "0"
    return chunk.is_file() and chunk.stat().st_size > 0


def finish_series(path: Path, grid: Grid, times: npt.NDArray[Any], attributes: dict[str, Any]) -> None:
    """Add coordinates and attributes to a series whose blocks are all written; sweep what killed writers left."""
    import xarray as xr

    for orphan in path.rglob("*.partial"):
        orphan.unlink(missing_ok=True)
    coordinates = xr.Dataset(coords={**tile_coordinates(grid), "time": times}, attrs=attributes)
    coordinates.to_zarr(path, mode="a", consolidated=False, zarr_format=3)


def read_series(path: Path) -> xr.Dataset:
    """Return a stored series, lazily."""
    return _open(path)


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a dataset that fits in memory, such as a partition."""
    encoding = {str(name): {"compressors": _codec(), "fill_value": None} for name in dataset.data_vars}
    dataset.to_zarr(path, mode="w", consolidated=False, zarr_format=3, encoding=encoding)


def read_dataset(path: Path) -> xr.Dataset:
    """Return what `write_dataset` wrote, in memory."""
    return _open(path).load()


def _codec() -> list[Any]:
    from zarr.codecs import ZstdCodec

    return [ZstdCodec(level=3, checksum=True)]


def _array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dims: tuple[str, ...],
    dtype: str,
    fill: float,
) -> zarr.Array[Any]:
    return group.create_array(
        name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill, compressors=_codec(), dimension_names=dims,
        config={"write_empty_chunks": True},
    )  # fmt: skip


def _member(group: zarr.Group, name: str) -> zarr.Array[Any]:
    import zarr

    array = group[name]
    if not isinstance(array, zarr.Array):
        raise RunFolderError(f"{group.store_path}/{name} is no array; delete the store and run the stage again")
    return array


def _open(path: Path) -> xr.Dataset:
    import xarray as xr

    try:
        dataset: xr.Dataset = xr.open_dataset(
            path, engine="zarr", chunks=None, cache=False, decode_coords="all", backend_kwargs={"consolidated": False}
        )  # not cached: an array that was read is let go when its user is done
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); run the stage that makes it again") from None
    return dataset
