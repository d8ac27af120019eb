"""The semantic graph: which zones are most alike (METHOD step 10).

The minimum spanning tree of the zones' centroids under d = Σ_t ‖·‖ over the dates that two zones share, with true
weights and the sizes of the zones, and its writing as GraphML (Gephi, Cytoscape, networkx) and as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from taxoscape.analysis.centroids import seen_centroids
from taxoscape.analysis.distances import Metric, pairwise
from taxoscape.areas import cell_areas_km2
from taxoscape.contracts import check_zones
from taxoscape.errors import InputError
from taxoscape.zones.metric import metric_centroids

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    Float64 = npt.NDArray[np.float64]
    Int64 = npt.NDArray[np.int64]

DISTANCE: Metric = "sumnorm"
"""Distance of the weights where a partition has no metric of its own, as in `taxoscape.analysis.distances`."""
_KEYS = (
    ("distance", "graph", "string"),
    ("name", "node", "string"),
    ("colour", "node", "string"),
    ("n_tiles", "node", "long"),
    ("area_km2", "node", "double"),
    ("weight", "edge", "double"),
)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An edge of the tree."""

    zone_a: int
    """Label of one zone, the smaller."""
    zone_b: int
    """Label of the other."""
    weight: float
    """d between the two centroids, in units of the embedding, or of what varies within zones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticGraph:
    """The zones as nodes and the minimum spanning tree of their centroids."""

    edges: tuple[Edge, ...]
    """In the order of the labels; K − 1 of them, where every two centroids share a date."""
    distances: Float64
    """float64 (zone, zone): d between any two centroids, symmetric, 0 on the diagonal; under ``sumnorm`` NaN where two
    share no date, and so all along a zone without a date."""
    n_tiles: Int64
    """int64 (zone,): tiles of each zone."""
    area_km2: Float64
    """float64 (zone,): area of each zone on the ground, km²."""
    distance: str = DISTANCE
    """Name of d: ``sumnorm``, or ``learned`` where the partition has learned a metric."""


def semantic_graph(zones: xr.Dataset, *, areas_km2: Float64 | None = None) -> SemanticGraph:
    """Return the minimum spanning tree of the centroids of the zones.

    Under d = Σ_t ‖c_t − c'_t‖, or under the metric of the partition where it has learned one.

    Parameters
    ----------
    zones
        Dataset of `taxoscape.cluster`.
    areas_km2
        float64 (tile,): area of each tile's cell; where not given, `taxoscape.areas.cell_areas_km2` of the grid. Tiles
        of several regions on one joined grid have their areas on their own grids.

    Raises
    ------
    InputError
        Where ``areas_km2`` is not one value per tile, or ``zones`` breaks its contract.

    Notes
    -----
    Under ``sumnorm`` distances are taken over the dates on which both zones have a tile that counts, scaled to all
    dates (`taxoscape.analysis.distances`); under a learned metric centroids are whole. O(K² · T · F) time. Source:
    METHOD step 10. We differ from the prototype in that weights are not cut to integers. Zones of equal centroids stay
    joined, by an edge of (nearly) 0.
    """
    grid = check_zones(zones)
    k = zones.sizes["zone"]
    areas = cell_areas_km2(grid) if areas_km2 is None else areas_km2
    if np.shape(areas) != (grid.n_tiles,):
        raise InputError(
            f"areas_km2 has the shape {np.shape(areas)}, the zones have {grid.n_tiles} tiles: give one each"
        )
    centroids = seen_centroids(zones) if "metric_axes" not in zones else metric_centroids(zones)[:, None]
    distances = pairwise(centroids, centroids, metric=DISTANCE)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, np.where(np.isnan(distances.diagonal()), np.nan, 0.0))
    labels = zones["labels"].to_numpy().astype(np.int64)
    return SemanticGraph(
        edges=tuple(Edge(zone_a=a + 1, zone_b=b + 1, weight=w) for a, b, w in spanning_tree(distances)),
        distances=distances,
        n_tiles=np.bincount(labels, minlength=k + 1)[1:].astype(np.int64),
        area_km2=np.bincount(labels, weights=areas, minlength=k + 1)[1:].astype(np.float64),
        distance="learned" if "metric_axes" in zones else DISTANCE,
    )


def spanning_tree(distances: Float64) -> list[tuple[int, int, float]]:
    """Return the minimum spanning tree of points as edges (a, b, weight), a < b, in rising order.

    Parameters
    ----------
    distances
        float64 (n, n), symmetric, at least 0; NaN where a pair has none. Where no way of known distances leads from
        some points to others, each connected group has a tree of its own.

    Notes
    -----
    Prim's algorithm on the full matrix, O(n²). A distance of 0 is an edge, unlike in SciPy's, which reads it as none.
    """
    n = len(distances)
    reach = np.where(np.isnan(distances), np.inf, distances)
    outside = np.arange(1, n)
    nearest, gap = np.zeros(n, dtype=np.int64), reach[0].copy() if n else np.zeros(0)
    edges = []
    while len(outside):
        new = int(outside[gap[outside].argmin()])
        if np.isfinite(gap[new]):
            old = int(nearest[new])
            edges.append((min(old, new), max(old, new), float(gap[new])))
        outside = outside[outside != new]
        closer = reach[new] < gap
        nearest[closer], gap[closer] = new, reach[new][closer]
    return sorted(edges)


def to_graphml(graph: SemanticGraph, names: Sequence[str], colours: npt.NDArray[np.uint8]) -> str:
    """Return the graph as GraphML 1.0.

    Parameters
    ----------
    graph
        The graph of zones.
    names
        One name per zone. Characters that XML does not know are left out.
    colours
        uint8 (zone, 3).

    Returns
    -------
    The text of the file. A node's id is the zone's label; it has ``name``, ``colour`` (``#rrggbb``), ``n_tiles`` and
    ``area_km2``, an edge ``weight``, the graph ``distance``.

    Raises
    ------
    InputError
        Where there is not one name and one colour per zone.
    """
    nodes = _nodes(graph, names, colours)
    root = ElementTree.Element("graphml", {"xmlns": "http://graphml.graphdrawing.org/xmlns"})
    for key, owner, kind in _KEYS:
        ElementTree.SubElement(root, "key", {"id": key, "for": owner, "attr.name": key, "attr.type": kind})
    tree = ElementTree.SubElement(root, "graph", {"id": "zones", "edgedefault": "undirected"})
    _data(tree, "distance", graph.distance)
    for node in nodes:
        element = ElementTree.SubElement(tree, "node", {"id": str(node.pop("id"))})
        for key, value in node.items():
            _data(element, key, value)
    for edge in graph.edges:
        ends = {"source": str(edge.zone_a), "target": str(edge.zone_b)}
        _data(ElementTree.SubElement(tree, "edge", ends), "weight", edge.weight)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def to_json(graph: SemanticGraph, names: Sequence[str], colours: npt.NDArray[np.uint8]) -> str:
    """Return the graph as node-link JSON, as networkx and D3 read it.

    Parameters and errors are those of `to_graphml`. ``nodes`` have ``id`` (the label), ``name``, ``colour``,
    ``n_tiles``, ``area_km2``; ``edges`` have ``source``, ``target``, ``weight``; ``graph`` has ``distance``, its name,
    and ``distances``, the full matrix in the order of the nodes, null where two zones share no date.
    """
    matrix = [[None if np.isnan(value) else float(value) for value in row] for row in graph.distances]
    content = {
        "directed": False,
        "multigraph": False,
        "graph": {"distance": graph.distance, "distances": matrix},
        "nodes": _nodes(graph, names, colours),
        "edges": [{"source": e.zone_a, "target": e.zone_b, "weight": e.weight} for e in graph.edges],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _nodes(graph: SemanticGraph, names: Sequence[str], colours: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
    k = len(graph.n_tiles)
    if len(names) != k or np.shape(colours) != (k, 3):
        raise InputError(
            f"the graph has {k} zones, but there are {len(names)} names and colours of shape {np.shape(colours)}: "
            "give one name and one colour (red, green, blue) per zone"
        )
    return [
        {
            "id": zone + 1,
            "name": str(names[zone]),
            "colour": "#{:02x}{:02x}{:02x}".format(*(int(value) for value in colours[zone])),
            "n_tiles": int(graph.n_tiles[zone]),
            "area_km2": float(graph.area_km2[zone]),
        }
        for zone in range(k)
    ]


def _data(parent: ElementTree.Element, key: str, value: object) -> None:
    ElementTree.SubElement(parent, "data", {"key": key}).text = _NOT_XML.sub("", str(value))
