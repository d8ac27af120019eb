"""taxoscape: what kinds of land are there in a region, where, and how do they change.

The road of the data: scenes → cube → tile grid → triplets → encoder → series → zones → refinement → analysis → maps.

The names below are the public face. They load what they need on first use, so that ``import taxoscape`` is quick and
does not import PyTorch.

>>> import taxoscape as tx
>>> sorted(tx.__all__)[:3]
['Encoder', 'InputError', 'Refined']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "open_cube": "taxoscape.cube.open",
    "train_encoder": "taxoscape.embedding.fit",
    "load_encoder": "taxoscape.embedding.encoder",
    "Encoder": "taxoscape.embedding.encoder",
    "encode": "taxoscape.embedding.encoding",
    "cluster": "taxoscape.zones.clustering",
    "refine": "taxoscape.zones.refine",
    "Refined": "taxoscape.zones.refine",
    "quality": "taxoscape.analysis.quality",
    "representatives": "taxoscape.analysis.representatives",
    "agreement": "taxoscape.analysis.agreement",
    "assign": "taxoscape.zones.assign",
    "association": "taxoscape.analysis.association",
    "centroid_paths": "taxoscape.analysis.dates",
    "changes": "taxoscape.analysis.changes",
    "confidence": "taxoscape.zones.confidence",
    "evidence": "taxoscape.zones.clustering",
    "interpolate": "taxoscape.analysis.interpolation",
    "project": "taxoscape.analysis.projections",
    "semantic_graph": "taxoscape.analysis.graph",
    "separating_dates": "taxoscape.analysis.dates",
    "silhouettes": "taxoscape.analysis.silhouette",
    "sweep": "taxoscape.analysis.sweep",
    "tile_statistics": "taxoscape.analysis.baselines",
    "zone_cards": "taxoscape.analysis.cards",
    "zone_tree": "taxoscape.zones.tree",
    "ZoneTree": "taxoscape.zones.tree",
    "InputError": "taxoscape.errors",
    "RunFolderError": "taxoscape.errors",
    "TaxoscapeError": "taxoscape.errors",
}

__all__ = [
    "Encoder",
    "InputError",
    "Refined",
    "RunFolderError",
    "TaxoscapeError",
    "ZoneTree",
    "__version__",
    "agreement",
    "assign",
    "association",
    "centroid_paths",
    "changes",
    "cluster",
    "confidence",
    "encode",
    "evidence",
    "interpolate",
    "load_encoder",
    "open_cube",
    "project",
    "quality",
    "refine",
    "representatives",
    "semantic_graph",
    "separating_dates",
    "silhouettes",
    "sweep",
    "tile_statistics",
    "train_encoder",
    "zone_cards",
    "zone_tree",
]

if TYPE_CHECKING:
    from taxoscape.analysis.agreement import agreement
    from taxoscape.analysis.association import association
    from taxoscape.analysis.baselines import tile_statistics
    from taxoscape.analysis.cards import zone_cards
    from taxoscape.analysis.changes import changes
    from taxoscape.analysis.dates import centroid_paths, separating_dates
    from taxoscape.analysis.graph import semantic_graph
    from taxoscape.analysis.interpolation import interpolate
    from taxoscape.analysis.projections import project
    from taxoscape.analysis.quality import quality
    from taxoscape.analysis.representatives import representatives
    from taxoscape.analysis.silhouette import silhouettes
    from taxoscape.analysis.sweep import sweep
    from taxoscape.cube.open import open_cube
    from taxoscape.embedding.encoder import Encoder, load_encoder
    from taxoscape.embedding.encoding import encode
    from taxoscape.embedding.fit import train_encoder
    from taxoscape.errors import InputError, RunFolderError, TaxoscapeError
    from taxoscape.zones.assign import assign
    from taxoscape.zones.clustering import cluster, evidence
    from taxoscape.zones.confidence import confidence
    from taxoscape.zones.refine import Refined, refine
    from taxoscape.zones.tree import ZoneTree, zone_tree


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'taxoscape' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
