"""The semantic graph drawn: zones as discs, joined where they are most alike.

A tree can always be drawn in the plane with edges of true length; only the angles between them are free. Each branch
gets a sector in proportion to its ends ("equal angle": Felsenstein, *Inferring Phylogenies*, 2004, chapter 34), so that
edges never cross. Branches are then turned so that zones without an edge, too, lie near to their true distance, as far
as no edges cross and no node comes near to an edge that is not its own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from taxoscape.analysis.graph import Edge, SemanticGraph
from taxoscape.errors import InputError
from taxoscape.publish import canvas
from taxoscape.publish.figures import WIDTH
from taxoscape.publish.table import ZoneRow
from taxoscape.publish.wording import BETWEEN

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Int64 = npt.NDArray[np.int64]
    Float64 = npt.NDArray[np.float64]

LEAST_LENGTH = 0.4
"""An edge is drawn at least as long as this share of the median edge, so that nodes have room."""
LARGEST = 0.36
"""Radius of the largest zone in inches, at most."""
GAP = 0.12
"""Inches between a node and other nodes and their edges, at least; where they would be closer, nodes are smaller."""
SMALLEST = 0.115
"""Radius in inches below which no node is drawn, so that its number does not hide it."""
MOST_SPREAD = 100
"""Zones up to which the angles of the tree are turned."""
MOST_HEIGHT = 7.5
"""Height of the tree in inches, at most."""
_TURNS = (0.6, 0.25, 0.1, 0.03)
_CLEAR = 0.45
_TREE_WIDTH = 6.7
_MARGIN = 0.5


def figure_graph(path: str | os.PathLike[str], *, graph: SemanticGraph, table: Sequence[ZoneRow]) -> None:
    """Draw the minimum spanning tree of the zones beside their legend.

    Parameters
    ----------
    path
        The ``.png``.
    graph
        The graph of zones.
    table
        One row per zone.

    Raises
    ------
    InputError
        Where graph and table are not of the same zones.
    """
    from matplotlib import rc_context

    if len(graph.n_tiles) != len(table):
        raise InputError(
            f"the graph has {len(graph.n_tiles)} zones but the table has {len(table)}: give those of one run"
        )
    lengths = drawn_lengths(graph.edges)
    places, height = _fitted(spread(tree_layout(len(table), graph.edges, lengths), graph))
    height = max(height, canvas.LEGEND_LINE * min(len(table) + 1, 24))
    with rc_context(canvas.STYLE):
        figure, _, head = page(_title(table), _note(graph, lengths), height + 0.2)
        tall = head + height + 0.2
        axes = figure.add_axes((0, 0.2 / tall, _TREE_WIDTH / WIDTH, height / tall))
        axes.set_axis_off()
        axes.set(xlim=(0, _TREE_WIDTH), ylim=(-height / 2, height / 2))
        radii = node_radii(places, _ends(graph.edges), graph.area_km2)
        for edge in graph.edges:
            _draw_edge(axes, edge, places, radii)
        for row, (x, y), radius in zip(table, places, radii, strict=True):
            _draw_node(axes, row, x, y, radius)
        legend_left = (_TREE_WIDTH + 0.1) / WIDTH
        legend = figure.add_axes((legend_left, 0.2 / tall, 1 - legend_left - 0.2 / WIDTH, height / tall))
        canvas.draw_legend(legend, table, no_data=False)
        canvas.save(figure, path)


def page(title: str, note: str, below: float) -> tuple[Figure, Axes, float]:
    """Return a figure with a title and a note under it.

    Parameters
    ----------
    title, note
        The words; the note is broken to the width of the page.
    below
        Inches of room under them.

    Returns
    -------
    The figure; axes over all of it, in inches from its upper left corner; the height of title and note in inches.
    """
    from matplotlib.figure import Figure

    broken = canvas.wrap(note, 122)
    head = 0.62 + 0.19 * (broken.count("\n") + 1)
    figure = Figure(figsize=(WIDTH, head + below))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, WIDTH), ylim=(head + below, 0))
    axes.text(0.15, 0.26, title, fontsize=13, fontweight="bold", va="center")
    axes.text(0.15, 0.46, broken, fontsize=10, color=canvas.FAINT, va="top")
    return figure, axes, head


def drawn_lengths(edges: Sequence[Edge]) -> Float64:
    """Return the lengths at which edges are drawn: their weights, but no less than `LEAST_LENGTH` of the median one."""
    weights = np.array([edge.weight for edge in edges])
    if not weights.any():
        return np.ones(len(weights))
    return np.asarray(np.maximum(weights, LEAST_LENGTH * np.median(weights[weights > 0])))


def tree_layout(n: int, edges: Sequence[Edge], lengths: Float64) -> Float64:
    """Return places of the nodes of a tree (or of several) such that edges have given lengths and never cross.

    Parameters
    ----------
    n
        Number of nodes, labelled 1…n.
    edges
        Of the tree.
    lengths
        float64 (edge,), positive.

    Returns
    -------
    float64 (n, 2). Several trees stand side by side.
    """
    neighbours: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for edge, length in zip(edges, lengths, strict=True):
        neighbours[edge.zone_a - 1].append((edge.zone_b - 1, float(length)))
        neighbours[edge.zone_b - 1].append((edge.zone_a - 1, float(length)))
    places = np.zeros((n, 2))
    placed: set[int] = set()
    right, step = 0.0, float(lengths.mean()) if len(lengths) else 1.0
    for first in range(n):
        if first in placed:
            continue
        nodes = _one_tree(neighbours, first, places)
        places[nodes] -= (places[nodes, 0].min() - right, places[nodes, 1].mean())
        right = places[nodes, 0].max() + step
        placed.update(nodes)
    return places


def spread(places: Float64, graph: SemanticGraph) -> Float64:
    """Turn branches of a drawn tree, keeping all lengths, so that zones without an edge lie near to their distances.

    Parameters
    ----------
    places
        float64 (zone, 2), of `tree_layout`.
    graph
        The graph drawn.

    Returns
    -------
    float64 (zone, 2): of smaller (or equal) mean squared relative error of all distances, and lying; no edges cross
    that did not before.

    Notes
    -----
    Branch by branch, by ever smaller angles, while it gets better: about 0.1 s for 20 zones. Above `MOST_SPREAD` zones
    nothing is turned, nor where the graph is not one tree.
    """
    k = len(places)
    if not 3 <= k <= MOST_SPREAD or len(graph.edges) != k - 1:
        return _lying(places) if len(graph.edges) == k - 1 else places
    ends = _ends(graph.edges)
    one, other = np.triu_indices(k, 1)
    least = float(np.hypot(*(places[ends[:, 0]] - places[ends[:, 1]]).T).min())
    wanted = np.maximum(graph.distances[one, other], least)
    branches = [_beyond(ends, index) for index in range(k - 1)]

    def error(points: Float64) -> float:
        return float(np.nanmean((np.hypot(*(points[one] - points[other]).T) / wanted - 1) ** 2))

    now, room = error(places), clearance(places, ends)
    for angle in np.repeat(_TURNS, 8):
        for index, branch in enumerate(branches):
            pivot = places[ends[index, 0]]
            for turn in (angle, -angle):
                cos, sin = math.cos(turn), math.sin(turn)
                points = places.copy()
                points[branch] = pivot + (places[branch] - pivot) @ np.array([[cos, sin], [-sin, cos]])
                better = error(points)
                if better < now - 1e-9:
                    free = clearance(points, ends)
                    if free >= min(room, _CLEAR * least):
                        places, now, room = points, better, free
    return _lying(places)


def clearance(places: Float64, ends: Int64) -> float:
    """Return the smallest distance between a node and an edge that does not end there; −1 where two edges cross.

    Parameters
    ----------
    places
        float64 (n, 2).
    ends
        int64 (edge, 2): the nodes of each edge.
    """

    def side(a: Float64, b: Float64, c: Float64) -> Float64:
        u, v = b - a, c - a
        return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])

    one, other = np.triu_indices(len(ends), 1)
    (a, b), (c, d) = places[ends[one]].swapaxes(0, 1), places[ends[other]].swapaxes(0, 1)
    if ((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).any():
        return -1.0
    return float(_to_other_edges(places, ends).min(initial=np.inf))


def _to_other_edges(places: Float64, ends: Int64) -> Float64:
    """Return how far each node is from the nearest edge that does not end there: float64 (n,), infinite for none."""
    start, way = places[ends[:, 0]], places[ends[:, 1]] - places[ends[:, 0]]
    off = places[:, None] - start
    along = np.clip((off * way).sum(axis=-1) / (way**2).sum(axis=-1), 0, 1)
    gaps = np.hypot(*np.moveaxis(off - along[..., None] * way, -1, 0))
    gaps[ends, np.arange(len(ends))[:, None]] = np.inf
    return np.asarray(gaps.min(axis=1, initial=np.inf))


def node_radii(places: Float64, ends: Int64, areas: Float64) -> Float64:
    """Return radii of nodes, areas in proportion to ``areas``, so that none is nearer than `GAP` to a node or an edge.

    Parameters
    ----------
    places
        float64 (n, 2), inches.
    ends
        int64 (edge, 2): the nodes of each edge.
    areas
        float64 (n,).

    Returns
    -------
    float64 (n,), inches, at most `LARGEST`; at least `SMALLEST`, however near other nodes are.
    """
    from scipy.spatial.distance import pdist

    share = np.sqrt(areas / (areas.max(initial=0.0) or 1.0))
    one, other = np.triu_indices(len(share), 1)
    sums = np.concatenate([share[one] + share[other], share])
    room = np.concatenate([pdist(places), _to_other_edges(places, ends)]) - GAP
    scale = float((room[sums > 0] / sums[sums > 0]).min(initial=LARGEST))
    return np.asarray(np.maximum(share * scale, SMALLEST))


def _one_tree(neighbours: Sequence[Sequence[tuple[int, float]]], first: int, places: Float64) -> list[int]:
    """Place the tree that holds a node around the tree's middle; return its nodes."""
    nodes = _walk(neighbours, first)[0]
    middle = min(nodes, key=lambda node: max(_walk(neighbours, node)[2].values()))
    order, parent, _ = _walk(neighbours, middle)
    ends = dict.fromkeys(order, 0)
    for node in reversed(order):
        ends[node] = ends[node] or 1
        if node != middle:
            ends[parent[node]] += ends[node]
    sector = {middle: (0.0, 2 * math.pi)}
    for node in order:
        start, width = sector[node]
        for other, length in neighbours[node]:
            if parent[node] == other:
                continue
            own = width * ends[other] / ends[node]
            sector[other] = (start, own)
            angle = start + own / 2
            places[other] = places[node] + length * np.array([math.cos(angle), math.sin(angle)])
            start += own
    return order


def _ends(edges: Sequence[Edge]) -> Int64:
    """Return the nodes of each edge, from 0: int64 (edge, 2)."""
    return np.array([(edge.zone_a - 1, edge.zone_b - 1) for edge in edges], dtype=np.int64).reshape(-1, 2)


def _beyond(ends: Int64, index: int) -> list[int]:
    """Return the nodes of a tree that its edge of that index parts from the edge's first node."""
    neighbours: list[list[tuple[int, float]]] = [[] for _ in range(len(ends) + 1)]
    for a, b in np.delete(ends, index, axis=0).tolist():
        neighbours[a].append((b, 1.0))
        neighbours[b].append((a, 1.0))
    return _walk(neighbours, int(ends[index, 1]))[0]


def _walk(
    neighbours: Sequence[Sequence[tuple[int, float]]], first: int
) -> tuple[list[int], dict[int, int], dict[int, float]]:
    """Return the nodes of a tree from one outwards, the node that each was reached from (−1), and how far each is."""
    order, parent, far = [first], {first: -1}, {first: 0.0}
    for node in order:
        for other, length in neighbours[node]:
            if other != parent[node]:
                parent[other], far[other] = node, far[node] + length
                order.append(other)
    return order, parent, far


def _lying(places: Float64) -> Float64:
    """Return places turned so that they spread most from left to right."""
    centred = places - places.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    if len(places) < 3:
        return centred if len(places) < 2 else np.array([[0.0, 0.0], [float(np.hypot(*(places[1] - places[0]))), 0.0]])
    turned: Float64 = centred @ axes.T
    return turned


def _fitted(places: Float64) -> tuple[Float64, float]:
    """Return places in inches with the origin at the left and in the middle, and the height they need."""
    span = np.ptp(places, axis=0) if len(places) else np.zeros(2)
    inside = np.array([_TREE_WIDTH, MOST_HEIGHT]) - 2 * _MARGIN
    scale = min((room / size for room, size in zip(inside, span, strict=True) if size > 0), default=1.0)
    scale = min(scale, 3.0 / (span.max() or 1.0)) if len(places) == 2 else scale
    low = places.min(axis=0) if len(places) else np.zeros(2)
    fitted = (places - low - span / 2) * scale
    fitted[:, 0] += _TREE_WIDTH / 2
    return fitted, float(span[1] * scale) + 2 * _MARGIN


def _draw_edge(axes: Axes, edge: Edge, places: Float64, radii: Float64) -> None:
    """Draw an edge and, where there is room between its nodes, its weight along it."""
    a, b = edge.zone_a - 1, edge.zone_b - 1
    left, right = (a, b) if places[a, 0] <= places[b, 0] else (b, a)
    way = places[right] - places[left]
    length = float(np.hypot(*way))
    axes.plot(*places[[a, b]].T, color="#9ca3af", linewidth=1.6, zorder=1, solid_capstyle="butt")
    text = weight_text(edge.weight)
    if length - radii[a] - radii[b] < 0.075 * len(text):
        return
    along = way / length
    middle = places[left] + along * (radii[left] + (length - radii[a] - radii[b]) / 2)
    above = middle + 0.09 * np.array([-along[1], along[0]])
    angle = math.degrees(math.atan2(way[1], way[0]))
    axes.text(above[0], above[1], text, fontsize=9, ha="center", va="center", rotation=angle, zorder=3,
              color=canvas.INK, rotation_mode="anchor")  # fmt: skip


def _draw_node(axes: Axes, row: ZoneRow, x: float, y: float, radius: float) -> None:
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    axes.add_patch(Circle((x, y), radius, facecolor=row.hex, edgecolor="#00000055", linewidth=0.8, zorder=2))
    axes.text(x, y, str(row.zone), ha="center", va="center_baseline", fontsize=10, fontweight="bold", color="white",
              zorder=4, path_effects=[withStroke(linewidth=2.2, foreground=canvas.INK)])  # fmt: skip


def weight_text(weight: float) -> str:
    """Return a distance for people, in three digits or all those before the point.

    Examples
    --------
    >>> weight_text(97.23), weight_text(1234.5), weight_text(0.01234), weight_text(0.0)
    ('97.2', '1234', '0.0123', '0')
    """
    if weight == 0 or not math.isfinite(weight):
        return "0" if weight == 0 else "–"
    return f"{weight:.{min(max(0, 2 - math.floor(math.log10(abs(weight)))), 9)}f}"


def _title(table: Sequence[ZoneRow]) -> str:
    return "One zone, nothing to join" if len(table) == 1 else "Which zones are most alike"


def _note(graph: SemanticGraph, lengths: Float64) -> str:
    if not graph.edges:
        return "The graph of zones needs two zones whose centres share a date."
    text = (
        "The shortest tree that joins the centres of all zones (minimum spanning tree). Numbers and lengths of edges: "
        f"distance d between two centres ({BETWEEN[graph.distance]}). Area of a disc: area of the zone; the smallest "
        "are drawn larger."
    )
    short = sum(length > edge.weight for edge, length in zip(graph.edges, lengths, strict=True))
    if short:
        text += f" {short} {'edge' if short == 1 else 'edges'} drawn longer than true, to keep nodes apart."
    return text
