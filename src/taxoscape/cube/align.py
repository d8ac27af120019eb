"""Putting rasters on one lattice of whole pixels, or saying why they cannot be.

No resampling here: rasters share a CRS and a pixel size, and their origins are whole pixels apart, or they are
refused. A hundredth of a pixel is allowed, as what floating-point origins lose; nothing is shifted by more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taxoscape.cube.box import Box
from taxoscape.cube.rasters import Header
from taxoscape.cube.wording import counted, named, shortened, shown
from taxoscape.grid import Lattice

TOLERANCE_PX = 0.01
"""Pixels by which a raster may miss the lattice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Rasters on one lattice."""

    lattice: Lattice
    """The pixels of the bounding box of all rasters."""
    boxes: dict[Path, Box]
    """Where each raster lies on it."""


def georeference_faults(headers: Sequence[Header]) -> list[str]:
    """Return the faults of rasters that do not say where they lie, or that are rotated."""
    faults = []
    lost = [h.path for h in headers if not h.is_referenced]
    if lost:
        what = "CRS" if all(h.crs is None for h in headers if not h.is_referenced) else "place (CRS and transform)"
        faults.append(
            f"{counted(len(lost), 'file')} without a georeference, no {what} inside: {named(lost)}; nothing "
            "tells where their pixels lie or how large they are: write it into the files (gdal_edit.py -a_srs EPSG:… "
            "-a_ullr …)"
        )
    turned = [h.path for h in headers if h.is_referenced and not h.is_upright]
    if turned:
        faults.append(
            f"{counted(len(turned), 'file')} with rotated or mirrored pixels: {named(turned)}; tiles are cut along "
            "rows and columns: warp the files north up first (gdalwarp)"
        )
    return faults


def place(headers: Sequence[Header]) -> tuple[Placed | None, list[str]]:
    """Place rasters on one lattice.

    Parameters
    ----------
    headers
        Rasters with a georeference, upright.

    Returns
    -------
    placed
        The lattice and where each raster lies on it; None where there are faults.
    faults
        Mixed CRS, mixed pixel sizes, origins that are not whole pixels apart.
    """
    systems = _crs_groups(headers)
    faults = [_mixed_crs(systems)] if len(systems) > 1 else []
    sizes = _pixel_groups(headers)
    if len(sizes) > 1:
        faults.append(_mixed_pixels(sizes))
    if faults:
        return None, faults
    first = headers[0]
    offsets = {h.path: _offset(first, h) for h in headers}
    astray = [h for h in headers if max(map(_missed, offsets[h.path])) > TOLERANCE_PX]
    if astray:
        return None, [_misaligned(first, astray, len(headers))]
    return _placed(first, headers, offsets), []


def unit_of(crs: str) -> str:
    """Return the unit of a CRS's axes, short: ``m``, ``°``, or its name."""
    from pyproj import CRS

    name = CRS.from_wkt(crs).axis_info[0].unit_name
    return {"metre": "m", "meter": "m", "degree": "°"}.get(name, name)


def _placed(first: Header, headers: Sequence[Header], offsets: dict[Path, tuple[float, float]]) -> Placed:
    corners = {path: (round(rows), round(cols)) for path, (rows, cols) in offsets.items()}
    top, left = (min(corner[axis] for corner in corners.values()) for axis in (0, 1))
    boxes = {h.path: Box(corners[h.path][0] - top, corners[h.path][1] - left, h.height, h.width) for h in headers}
    (dx, dy), (x, y) = first.pixel, first.corner
    lattice = Lattice(
        crs=first.crs or "", x0=x + left * dx, y0=y - top * dy, dx=dx, dy=dy,
        height=max(box.row + box.height for box in boxes.values()),
        width=max(box.col + box.width for box in boxes.values()),
    )  # fmt: skip
    return Placed(lattice=lattice, boxes=boxes)


def _offset(first: Header, other: Header) -> tuple[float, float]:
    """Return the pixels (down, right) from the corner of one raster to that of another."""
    (dx, dy), (x0, y0), (x, y) = first.pixel, first.corner, other.corner
    return (y0 - y) / dy, (x - x0) / dx


def _missed(pixels: float) -> float:
    return abs(pixels - round(pixels))


def _crs_groups(headers: Sequence[Header]) -> dict[str, list[Header]]:
    """Return rasters by CRS; systems written differently that are the same make one group."""
    from rasterio.crs import CRS

    by_text: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_text[header.crs or ""].append(header)
    groups: dict[str, list[Header]] = {}
    for text, members in by_text.items():
        same = next((known for known in groups if CRS.from_wkt(known) == CRS.from_wkt(text)), text)
        groups.setdefault(same, []).extend(members)
    return groups


def _pixel_groups(headers: Sequence[Header]) -> list[list[Header]]:
    """Return rasters by pixel size; sizes that drift apart by less than the tolerance over a raster are the same."""
    groups: list[list[Header]] = []
    for header in headers:
        for group in groups:
            (dx, dy), (dx0, dy0) = header.pixel, group[0].pixel
            reach = max(header.height, header.width, group[0].height, group[0].width)
            if max(abs(dx / dx0 - 1), abs(dy / dy0 - 1)) * reach <= TOLERANCE_PX:
                group.append(header)
                break
        else:
            groups.append([header])
    return groups


def _mixed_crs(groups: dict[str, list[Header]]) -> str:
    parts = [
        f"{_crs_name(text)} in {counted(len(m), 'file')} ({named(h.path for h in m)})" for text, m in groups.items()
    ]
    return (
        f"mixed CRS: {shortened(parts)}; scenes of one cube share one CRS: reproject the others first (gdalwarp -t_srs)"
    )


def _crs_name(text: str) -> str:
    from rasterio.crs import CRS

    system = CRS.from_wkt(text)
    code = system.to_epsg()
    return f"EPSG:{code}" if code else text.split('"')[1] if '"' in text else text[:40]


def _mixed_pixels(groups: list[list[Header]]) -> str:
    parts = []
    for group in sorted(groups, key=lambda g: g[0].pixel):
        dx, dy = group[0].pixel
        unit = unit_of(group[0].crs or "")
        parts.append(f"{dx:.9g} × {dy:.9g} {unit} in {counted(len(group), 'file')} ({named(h.path for h in group)})")
    return (
        f"mixed resolutions, pixels of {shortened(parts, 5)}; pixels of one cube have one size: take bands of one size "
        "(--bands) or resample the files first (gdalwarp -tr)"
    )


def _misaligned(first: Header, astray: Sequence[Header], n: int) -> str:
    worst = max(astray, key=lambda h: max(map(_missed, _offset(first, h))))
    rows, cols = _offset(first, worst)
    (dx, dy), unit = first.pixel, unit_of(first.crs or "")
    north, east = round(rows) - rows, cols - round(cols)
    return (
        f"misaligned grids: {len(astray)} of {n} files lie between the pixels of {shown(first.path)}; "
        f"{shown(worst.path)} is off by {_signed(east, '.2f')} px ({_signed(east * dx, '.3g')} {unit}) in x and "
        f"{_signed(north, '.2f')} px ({_signed(north * dy, '.3g')} {unit}) in y; pixels of one cube lie on each other: "
        "resample the files to one grid first (gdalwarp -tap -tr)"
    )


def _signed(value: float, style: str) -> str:
    """Return a number with its sign; what rounds to zero is +0."""
    return f"{round(value, 12) + 0.0:+{style}}"
