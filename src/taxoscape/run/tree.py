"""The tree of zones of a run: made once, read by whatever cuts it, handed over as JSON and as a map of its leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from taxoscape.analysis.agreement import agreement
from taxoscape.publish.colour import part_colours
from taxoscape.run.folder import RunFolder
from taxoscape.run.outcome import Context, Outcome
from taxoscape.run.results import last_result
from taxoscape.run.store import read_dataset, read_series, write_dataset
from taxoscape.run.taken import refuse_other
from taxoscape.zones.assign import leaves_of
from taxoscape.zones.metric import Metric
from taxoscape.zones.tree import ZoneTree, zone_tree

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from taxoscape.publish.table import ZoneRow
    from taxoscape.zones.evidence import Evidence

NAME = "tree.zarr"
HOW = (
    "A zone keeps its id in every cut in which it is there. To find the zone of a tile among k: take its id in "
    "zones_tree.tif, and while first_k of that id is above k, go on to the id that it splits_from."
)
"""How to read the JSON."""


def make_tree(context: Context) -> Outcome:
    """Build the tree of zones through the partition that the run ends with."""
    of = context.settings.zones.of
    if of:
        refuse_other(RunFolder(of), context.folder)
        zones = read_dataset(context.folder / "partition_geographic.zarr")
        tree = _taken(RunFolder(of), read_series(context.folder / "series_geographic.zarr"), zones)
    else:
        series, zones = last_result(context.folder)
        tree = zone_tree(series, zones, rng=context.settings.run.seed, track=context.track)
    write_dataset(context.folder / NAME, tree_dataset(tree))
    return Outcome(outputs=(NAME,), summary=f"a tree of {tree.n_leaves} leaves", notes={"n_leaves": tree.n_leaves})


def _taken(of: RunFolder, series: xr.Dataset, zones: xr.Dataset) -> ZoneTree:
    """Return the tree of the run that zones were taken from, with the leaves of the tiles that are here."""
    tree = read_tree(of)
    return replace(tree, leaves=leaves_of(tree, series, zones))


def read_tree(folder: RunFolder) -> ZoneTree:
    """Return the tree of zones of a run."""
    return tree_from(read_dataset(folder / NAME))


def tree_dataset(tree: ZoneTree) -> xr.Dataset:
    """Return a tree as a dataset; `tree_from` is the inverse."""
    import xarray as xr

    by_id = {name: ("id", getattr(tree, name)) for name in ("splits_from", "first_k", "heights", "sizes")}
    return xr.Dataset(
        {
            "leaves": ("tile", tree.leaves),
            **by_id,
            "centroids": (("id", "component"), tree.centroids),
            "origin": ("column", tree.space.origin),
            "axes": (("column", "component"), tree.space.axes),
            "ridge": (("component", "other"), tree.space.ridge),
        },
        attrs={"n_zones": tree.n_zones},
    )


def tree_from(stored: xr.Dataset) -> ZoneTree:
    """Return the tree that a dataset holds."""
    arrays = {str(name): stored[name].to_numpy() for name in stored}
    space = Metric(origin=arrays.pop("origin"), axes=arrays.pop("axes"), ridge=arrays.pop("ridge"))
    return ZoneTree(**arrays, space=space, n_zones=int(stored.attrs["n_zones"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the cut of a tree and the flat partition into as many zones agree."""

    n_clusters: int
    """Number of zones."""
    ari: float
    """Adjusted Rand index of the two."""
    nmi: float
    """Normalised mutual information of the two."""
    nmi_tree: float | None = None
    """NMI of the cut and the truth, where there is one."""
    nmi_flat: float | None = None
    """NMI of the flat partition and the truth."""


def compare_cuts(tree: ZoneTree, evidence: Evidence, truth: npt.NDArray[np.integer] | None) -> list[Cut]:
    """Return how the cuts of a tree agree with the flat partitions of the sweep, from the fewest zones to the most."""
    rows = []
    for index, k in enumerate(evidence.ks.tolist()):
        if k > tree.n_leaves:
            break
        cut, flat = tree.cut(k).astype(np.int64), evidence.labels[:, index].astype(np.int64)
        found = agreement(cut, flat)
        known = {}
        if truth is not None and ((cut > 0) & (truth != 0)).any():
            known = {"nmi_tree": agreement(cut, truth)["nmi"], "nmi_flat": agreement(flat, truth)["nmi"]}
        rows.append(Cut(n_clusters=k, ari=found["ari"], nmi=found["nmi"], **known))
    return rows


def told_agreement(rows: Sequence[dict[str, Any]], n_zones: int) -> str:
    """Return in a sentence or two how cuts agree with flat partitions; empty where there is nothing to compare."""
    if not rows:
        return ""
    worst, best = (choose(rows, key=lambda row: row["ari"]) for choose in (min, max))
    text = (
        f"At {n_zones} zones the tree is the partition of this run. Cut elsewhere it can be compared with partitions "
        f"that were made for each number alone, under f^g: the adjusted Rand index is from {worst['ari']:.2f} "
        f"({worst['n_clusters']} zones) to {best['ari']:.2f} ({best['n_clusters']} zones)."
    )
    known = [row for row in rows if row.get("nmi_tree") is not None]
    if known:
        tree, flat = (sum(row[name] for row in known) / len(known) for name in ("nmi_tree", "nmi_flat"))
        text += (
            f" Agreement with the truth (NMI), mean over these numbers: {tree:.3f} for the tree, {flat:.3f} for them."
        )
    return text


def palette_of(tree: ZoneTree, table: Sequence[ZoneRow]) -> npt.NDArray[np.uint8]:
    """Return the colour of every id of a tree: uint8 (id, 3), from the table of zones."""
    zones = np.array([row.colour for row in table], dtype=np.uint8).reshape(-1, 3)
    return part_colours(zones[: tree.n_leaves], tree.splits_from)


def names_of_cut(tree: ZoneTree, k: int, table: Sequence[ZoneRow]) -> list[str]:
    """Return a name for each of ``tree.ids(k)``.

    A zone of the run has its own name; a part of one the name of the zone and its own number; zones that are merged
    have the name of the largest, and the numbers of the others.
    """
    own = {row.zone: row.name for row in table}
    inside = tree.lookup(k)
    zone_of = tree.lookup(tree.n_zones)
    names = []
    for number in tree.ids(k).tolist():
        zone = int(zone_of[number])
        others = [other for other in range(1, tree.n_zones + 1) if inside[other] == number and other != number]
        name = own.get(zone, f"Zone {zone}")
        if k > tree.n_zones and number != zone:
            name = f"{name}, part {number}"
        elif k < tree.n_zones and others:
            name = f"{name}, with {' and '.join(filter(None, (', '.join(map(str, others[:-1])), str(others[-1]))))}"
        names.append(name)
    return names


def tree_json(tree: ZoneTree, table: Sequence[ZoneRow], areas_km2: npt.NDArray[np.float64], distance: str) -> str:
    """Return a tree as JSON.

    Parameters
    ----------
    tree
        The tree.
    table
        One row per zone of the run.
    areas_km2
        float64 (tile,).
    distance
        What the heights are distances in.
    """
    content = {
        "how": HOW,
        "n_zones": tree.n_zones,
        "n_leaves": tree.n_leaves,
        "distance": distance,
        "nodes": nodes_of(tree, table, areas_km2),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def nodes_of(tree: ZoneTree, table: Sequence[ZoneRow], areas_km2: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the nodes of a tree, the root first, then the two parts of each split in order.

    ``node`` counts them from 1; ``id`` is the zone's number, which a node shares with the larger of its two parts.
    """
    palette = palette_of(tree, table)
    order = np.argsort(tree.first_k)
    tiles = np.bincount(tree.leaves, minlength=tree.n_leaves + 1)
    areas = np.bincount(tree.leaves, weights=areas_km2, minlength=tree.n_leaves + 1)
    names = {row.zone: row.name for row in table}
    nodes: list[dict[str, Any]] = []
    current: dict[int, int] = {}

    def begin(number: int, k: int, parent: int | None) -> None:
        current[number] = len(nodes)
        inside = np.flatnonzero(tree.lookup(k) == number)
        sizes = tree.sizes[inside - 1]
        centre = (tree.centroids[inside - 1] * sizes[:, None]).sum(axis=0) / sizes.sum()
        nodes.append({
            "node": len(nodes) + 1, "id": int(number), "parent": parent, "children": [], "first_k": k,
            "last_k": tree.n_leaves, "splits_from": int(tree.splits_from[number - 1]), "height": 0.0,
            "n_tiles": int(tiles[inside].sum()), "area_km2": round(float(areas[inside].sum()), 6),
            "colour": "#{:02x}{:02x}{:02x}".format(*palette[number - 1].tolist()),
            "centroid": [float(f"{value:.6g}") for value in centre],
        })  # fmt: skip

    begin(int(order[0]) + 1, 1, None)
    for k, index in enumerate(order[1:].tolist(), start=2):
        above = current[int(tree.splits_from[index])]
        nodes[above] |= {"last_k": k - 1, "height": round(float(tree.heights[index]), 6)}
        for number in (nodes[above]["id"], index + 1):
            nodes[above]["children"].append(len(nodes) + 1)
            begin(number, k, above + 1)
    for node in nodes:
        if node["first_k"] <= tree.n_zones <= node["last_k"]:
            node["name"] = names.get(node["id"], f"Zone {node['id']}")
    return nodes
