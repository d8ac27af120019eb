"""The pieces that figures are made of: a map with its frame, a scale bar, a legend, and the writing of a PNG.

matplotlib is used through its object interface only: no pyplot, no global state, no display. One style for all
figures, given as a context around drawing.
"""

from __future__ import annotations

import math
import os
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from taxoscape.areas import ground_size_km
from taxoscape.files import replacing
from taxoscape.grid import Grid
from taxoscape.publish.pictures import NO_DATA_GREY
from taxoscape.publish.table import ZoneRow, largest_zones

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Pixels = npt.NDArray[np.uint8]

DPI = 150
LEGEND_LINE = 0.245
"""Height of a line of the legend in inches."""
INK, FAINT = "#1b1f24", "#6b7280"
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 11, "text.color": INK, "text.usetex": False, "text.parse_math": False,
    "axes.titlesize": 12, "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.edgecolor": "#9ca3af",
    "axes.linewidth": 0.8, "axes.labelcolor": FAINT, "axes.labelsize": 9,
    "xtick.labelsize": 9, "xtick.color": "#9ca3af", "xtick.labelcolor": FAINT, "xtick.major.size": 3,
    "ytick.labelsize": 9, "ytick.color": "#9ca3af", "ytick.labelcolor": FAINT, "ytick.major.size": 3,
    "figure.facecolor": "white", "savefig.facecolor": "white", "hatch.linewidth": 0.7,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of the region, north up."""

    rgb: Pixels
    """uint8 (y, x, 3); one pixel may stand for many of the scenes'."""
    bounds: tuple[float, float, float, float]
    """Outer edges in the CRS: west, south, east, north."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where and how large a map of a grid is."""

    bounds: tuple[float, float, float, float]
    """Outer edges in the CRS: west, south, east, north."""
    height_km: float
    """Height on the ground."""
    width_km: float
    """Width on the ground."""
    kind: str
    """``degrees``, ``metres``, or ``none`` (regions side by side have no common place): what the coordinates are."""
    unit: float
    """Kilometres, or degrees, per unit of the CRS."""

    @property
    def aspect(self) -> float:
        """Height by width as drawn."""
        west, south, east, north = self.bounds
        return self.height_km / self.width_km if self.kind == "degrees" else (north - south) / (east - west)


def frame_of(grid: Grid) -> Frame:
    """Return the frame of the map of a grid's cells."""
    from pyproj import CRS

    cells = grid.cells
    crs = CRS.from_wkt(cells.crs)
    height_km, width_km = ground_size_km(cells)
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    bounds = (cells.x0, cells.y0 - cells.height * cells.dy, cells.x0 + cells.width * cells.dx, cells.y0)
    kind, unit = ("degrees", math.degrees(factor)) if crs.is_geographic else ("metres", factor / 1e3)
    kind = "none" if crs.is_engineering else kind
    return Frame(bounds=bounds, height_km=height_km, width_km=width_km, kind=kind, unit=unit)


def draw_map(axes: Axes, picture: Picture, frame: Frame, title: str) -> None:
    """Draw a picture on a map frame, with its title, light coordinates, a scale bar and the direction of north."""
    west, south, east, north = picture.bounds
    smooth = "antialiased" if picture.rgb.shape[1] > 700 else "nearest"
    axes.imshow(picture.rgb, extent=(west, east, south, north), origin="upper", interpolation=smooth)
    west, south, east, north = frame.bounds
    axes.set(xlim=(west, east), ylim=(south, north))
    axes.set_aspect(frame.aspect * (east - west) / (north - south))
    axes.set_title(wrap(title, max(int(size_inches(axes)[0] * 9), 14)), pad=24)
    _coordinates(axes, frame)
    draw_scale(axes, frame)


def draw_scale(axes: Axes, frame: Frame) -> None:
    """Draw a scale bar in km and the direction of north just above a map."""
    from matplotlib.transforms import ScaledTranslation

    length = nice_length(frame.width_km * 0.3)
    share = length / frame.width_km
    above = axes.transAxes + ScaledTranslation(0, 10 / 72, axes.figure.dpi_scale_trans)
    axes.plot((0, share), (1, 1), transform=above, color=INK, linewidth=2.2, solid_capstyle="butt", clip_on=False)
    label = f"{length:g} km" if length >= 1 else f"{length * 1000:g} m"
    narrow = size_inches(axes)[0] < 1.6
    marks = [(share, 6, f"{label}   N ↑" if narrow else label, "left")]
    marks += [] if narrow else [(1.0, 0, "N ↑", "right")]
    for x, shift, text, side in marks:
        axes.annotate(text, (x, 1), xycoords="axes fraction", xytext=(shift, 10), textcoords="offset points",
                      fontsize=9, color=FAINT, va="center_baseline", ha=side, annotation_clip=False)  # fmt: skip


def size_inches(axes: Axes) -> tuple[float, float]:
    """Return the width and height of axes in inches."""
    box = axes.get_position()
    whole = axes.get_figure(root=True)
    width, height = whole.get_size_inches() if whole is not None else (1.0, 1.0)
    return float(box.width * width), float(box.height * height)


def nice_length(most: float) -> float:
    """Return the largest of 1, 2, 5 × 10ⁿ that is at most ``most``.

    Examples
    --------
    >>> nice_length(7.3), nice_length(0.3), nice_length(2.0)
    (5.0, 0.2, 2.0)
    """
    power = 10.0 ** math.floor(math.log10(most))
    return float(round(max(m for m in (1, 2, 5) if m * power <= most * (1 + 1e-9)) * power, 12))


def draw_numbers(axes: Axes, labels: npt.NDArray[Any], grid: Grid) -> None:
    """Write each zone's number into the middle of its widest part, where it has room for it."""
    from matplotlib.patheffects import withStroke

    cells, zone_map = grid.cells, grid.to_map(labels)
    width, height = size_inches(axes)
    points = 72 * min(width / cells.width, height / cells.height)
    for zone in range(1, int(zone_map.max(initial=0)) + 1):
        depth = np.asarray(ndimage.distance_transform_edt(np.pad(zone_map == zone, 1)))[1:-1, 1:-1]
        row, col = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[row, col] * points < 7 + 3 * (len(str(zone)) - 1):
            continue
        x, y = cells.x0 + (float(col) + 0.5) * cells.dx, cells.y0 - (float(row) + 0.5) * cells.dy
        axes.text(x, y, str(zone), ha="center", va="center_baseline", fontsize=10, fontweight="bold", color="white",
                  path_effects=[withStroke(linewidth=2.2, foreground=INK)])  # fmt: skip


def draw_legend(axes: Axes, table: Sequence[ZoneRow], *, no_data: bool) -> None:
    """Draw the legend of zones into empty axes: colour, name, area and share; as many of the largest as have room.

    Names that are too long for a line have two where all zones have room for that.
    """
    width, height = size_inches(axes)
    lines = height / LEGEND_LINE
    letters = int((width * 0.64 - 0.7) / 0.087)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(lines, 0))
    present = [row for row in table if row.n_tiles]
    room = int(lines) - 1 - no_data
    shown, rest = largest_zones(table, room if len(present) <= room else max(room - 1, 1))
    largest = max((row.area_km2 for row in present), default=0.0)
    _legend_line(axes, 0, "Zones", "km²", "share", weight="bold")
    names = [f"{row.zone}  {'' if row.name.strip() == f'Zone {row.zone}' else row.name}".rstrip() for row in shown]
    deep = 2 if 2 * len(present) <= room and any(len(name) > letters for name in names) else 1
    for index, (name, row) in enumerate(zip(names, shown, strict=True)):
        line = 1 + index * deep
        _swatch(axes, line, row.colour)
        parts = wrap(name, letters).split("\n") if deep == 2 else [name]
        first, second = parts[0], " ".join(parts[1:])
        _legend_line(axes, line, shorten(first, letters), area_text(row.area_km2, largest), share_text(row.share))
        if second:
            axes.text(0.16, line + 1.35, shorten(second, letters + 1), va="center_baseline", color=FAINT, fontsize=9)
    line = 1 + len(shown) * deep
    if rest:
        area = area_text(sum(row.area_km2 for row in rest), largest)
        share = share_text(sum(row.share for row in rest))
        _legend_line(axes, line, f"{len(rest)} smaller zones", area, share, colour=FAINT)
        line += 1
    if no_data:
        _swatch(axes, line, NO_DATA_GREY)
        _legend_line(axes, line, "no data", "", "", colour=FAINT)


def _legend_line(
    axes: Axes, line: int, name: str, area: str, share: str, *, colour: str = INK, weight: str = "normal"
) -> None:
    numbers = FAINT if weight == "bold" else colour
    left = 0.0 if weight == "bold" else 0.12
    axes.text(left, line + 0.5, name, va="center_baseline", color=colour, fontweight=weight)
    axes.text(0.76, line + 0.5, area, va="center_baseline", ha="right", color=numbers)
    axes.text(1.0, line + 0.5, share, va="center_baseline", ha="right", color=FAINT)


def area_text(area_km2: float, largest: float | None = None) -> str:
    """Return an area for people: as many decimals as three digits of ``largest`` need, thin spaces between thousands.

    Examples
    --------
    >>> area_text(3.14159), area_text(48231.7), area_text(3.14159, largest=84.0)
    ('3.14', '48\u202f232', '3.1')
    """
    scale = area_km2 if largest is None else largest
    if area_km2 <= 0 or scale <= 0:
        return "0"
    decimals = min(max(0, 2 - math.floor(math.log10(scale))), 4)
    if area_km2 < 0.5 * 10**-decimals:
        return f"< {10**-decimals:.{decimals}f}"
    return f"{area_km2:,.{decimals}f}".replace(",", "\u202f")


def share_text(share: float) -> str:
    """Return a share for people, in per cent.

    Examples
    --------
    >>> share_text(0.0314), share_text(1.0), share_text(0.00002)
    ('3.1\u202f%', '100\u202f%', '< 0.1\u202f%')
    """
    if 0 < share < 0.0005:
        return "< 0.1\u202f%"
    return "100\u202f%" if share > 0.9995 else f"{100 * share:.1f}\u202f%"


def shorten(text: str, most: int) -> str:
    """Return text of at most ``most`` characters, cut with an ellipsis."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def wrap(text: str, most: int) -> str:
    """Return text broken into lines of at most ``most`` characters."""
    return "\n".join(textwrap.wrap(text, most))


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = DPI) -> None:
    """Write a figure as PNG, the same bytes for the same figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with replacing(Path(path)) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script our font lacks: boxes
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": "taxoscape"})


def _swatch(axes: Axes, line: int, colour: tuple[int, int, int]) -> None:
    from matplotlib.patches import Rectangle

    face = tuple(c / 255 for c in colour)
    axes.add_patch(Rectangle((0.0, line + 0.13), 0.085, 0.74, facecolor=face, edgecolor="#00000055", linewidth=0.6))


def _coordinates(axes: Axes, frame: Frame) -> None:
    """Label a few coordinates along the edges: km of easting and northing, or degrees."""
    if frame.kind == "none":
        axes.set(xticks=(), yticks=())
        return
    west, south, east, north = (value * frame.unit for value in frame.bounds)
    width, height = size_inches(axes)
    for axis, low, high, inches, signs in (
        (axes.xaxis, west, east, width, "EW"),
        (axes.yaxis, south, north, height, "NS"),
    ):
        ticks = nice_ticks(low, high, inches)
        names = [_degrees(tick, signs) if frame.kind == "degrees" else f"{tick:.10g}" for tick in ticks]
        axis.set_ticks([tick / frame.unit for tick in ticks], labels=names)
    axes.tick_params(axis="y", labelrotation=90)
    for label in axes.get_yticklabels():
        label.set_verticalalignment("center")
    if frame.kind != "degrees":
        axes.set_xlabel("easting, km" if width > 1 else "")
        axes.set_ylabel("northing, km" if height > 1 else "")


def nice_ticks(low: float, high: float, inches: float) -> list[float]:
    """Return round numbers between two ends, so few and so far inside that their labels fit on an axis of that length.

    Examples
    --------
    >>> nice_ticks(500.0, 520.0, 4.0), nice_ticks(4699.1, 4700.0, 2.0), nice_ticks(0.0, 1.0, 0.4)
    ([505.0, 510.0, 515.0], [4699.5], [])
    """
    margin = (high - low) * 0.3 / inches
    most = int((inches - 0.6) / 0.75) + 1
    if high - low <= 2 * margin:
        return []
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (m * power for m in (0.5, 1, 2, 5, 10, 20)):
        first, last = math.ceil((low + margin) / step), math.floor((high - margin) / step)
        if last - first < most:
            return [round(index * step, 12) for index in range(first, last + 1)]
    return []


def _degrees(value: float, signs: str) -> str:
    return f"{abs(value):.10g}°{signs[0] if value > 0 else signs[1] if value < 0 else ''}"
