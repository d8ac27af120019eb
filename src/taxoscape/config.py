"""Settings of each stage: frozen values, to and from TOML, all faults reported at once.

`Settings` holds one section per stage. A section is a frozen dataclass with a docstring under every field; pydantic
checks types and bounds. Presets are ordinary settings that explicit ones override.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from taxoscape.errors import InputError
from taxoscape.memory import LEAST, bytes_of


def _no_switch(value: Any) -> Any:
    """Refuse true and false where a number is meant: Python takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _memory_size(value: Any) -> Any:
    """Return a size of memory, in bytes or as people write it; refuse what no run can do with."""
    try:
        size = bytes_of(value) if isinstance(value, str) else _no_switch(value)
    except InputError as error:
        raise ValueError(str(error)) from None
    if isinstance(size, int) and size < LEAST:
        raise ValueError(
            f"Python, the libraries and the blocks that they work on take {LEAST // 2**20} MiB: give as much at least"
        )
    return size


Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_no_switch)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_no_switch)]
Precision = Literal["auto", "float32", "bfloat16"]
PositiveReal = Annotated[float, Field(gt=0, allow_inf_nan=False)]

REFINING_SHARE = 0.4
"""Triplets from clusters over all dates, as a share of those from geography, where their number is not given."""

TRAINING_FREE = ("stats", "rcf", "embeddings")
"""Encoders that are made without training."""

PAPER_PER_DATE = 100
"""Triplets from clusters on each date in the paper (METHOD step 6)."""

_FORBID = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class CubeSettings:
    """How scenes become a cube."""

    bands: tuple[str, ...] = ()
    """Bands to take, as names or 1-based numbers, in this order; empty: all."""
    dates: str | None = None
    """CSV file with the columns ``file,date`` that beats dates in names and tags."""
    nodata: float | None = None
    """Value that means "no data"; None: what the files declare."""
    start: str | None = None
    """First date to take, ISO (2020-03-01, 2020-03 or 2020)."""
    end: str | None = None
    """Last date to take, ISO, inclusive."""
    aoi: str | None = None
    """File of polygons (``file#layer`` where it has several layers) that the cube is cropped to and outside of which no
    pixel is valid; None: all that the scenes cover."""
    period: str = "dates"
    """What makes a date: ``dates``, each day of a scene; ``month``, ``10d``, ``P16D``…: all days of such a period,
    which is called by its first day (`taxoscape.cube.periods`)."""
    composite: Literal["median", "best", "first"] = "median"
    """What stands for a pixel among its valid days of a period: the median of each band, the one nearest to the middle,
    or the first."""
    calendar: tuple[str, ...] = ()
    """Dates, ISO, that the scenes are to stand for: those of the run whose zones are taken; empty: their own."""
    match: Literal["season", "order"] = "season"
    """How scenes are paired with the dates of the calendar: the nearest in the year, or in order, where there are as
    many."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class GridSettings:
    """How tiles are laid over the region, and when they count."""

    tile_size: Positive = 100
    """Edge of a tile in pixels."""
    stride: Positive | None = None
    """Pixels from one tile to the next; None: the tile size."""
    partial: Literal["drop", "keep"] = "drop"
    """What becomes of tiles that are not wholly inside the region. With an area of interest they are kept where this is
    not given, and count by their share of valid pixels like any other."""
    min_valid: Share = 0.5
    """Share of valid pixels from which a tile counts on a date."""
    fill: bool = False
    """Whether the dates on which a tile does not count are filled along time from those on which it does. No: a tile
    takes part with the dates that it has."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class EncoderSettings:
    """Which encoder; and the network of one that is trained, its triplets from geography, and its training."""

    encoder: str = "tile2vec"
    """``tile2vec`` trains a network, as all settings below but ``filters`` say; they do not concern the others.
    ``stats`` (mean and deviation of each band) and ``rcf`` (random convolutional features) are made without training.
    ``embeddings`` takes scenes whose bands are features already: the mean of each, as it is. A path takes the encoder
    in that file."""
    deviation: bool = False
    """Whether ``embeddings`` has the deviation of each band besides."""
    filters: Positive = 256
    """Random filters of ``rcf``; its embedding has two numbers for each, and one per band."""
    network: Literal["fast", "tilenet"] = "fast"
    """``fast``: small, any band count and tile size; ``tilenet``: the paper's, tiles of 49 to 112 px."""
    n_features: Positive = 64
    """Length of an embedding that is trained (TileNet: 512, fixed)."""
    statistics: bool | None = None
    """Whether to carry the mean and the deviation of each band beside the features of a network that is trained, with
    equal shares of the variance: what is told by plain colour is then not lost. None: with the clusterer ``learned``,
    which weighs them; under plain K-means they can drown the rest."""
    loss: Literal["contrastive", "triplet"] = "contrastive"
    """``contrastive``: the distant tiles are the others of the batch; ``triplet``: the paper's, with the one drawn."""
    triplets: Positive = 10_000
    """Number of triplets drawn from geography."""
    neighbourhood_px: Positive | None = None
    """Largest offset in pixels, in each axis, between an anchor and its neighbour; None: the tile size."""
    epochs: Positive = 4
    """Passes over the triplets."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Triplets per step."""
    learning_rate: PositiveReal = 2e-3
    """Peak step size of Adam."""
    margin: PositiveReal = 50.0
    """Margin m of the triplet loss, in units of the embedding."""
    norm_penalty: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Weight λ of the norms of the batch in the triplet loss."""
    temperature: PositiveReal = 0.1
    """Temperature of the contrastive loss."""

    def carries_statistics(self, clusterer: str = "learned") -> bool:
        """Return whether statistics are carried beside the features, for zones by a clusterer."""
        return clusterer == "learned" if self.statistics is None else self.statistics


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class ZoneSettings:
    """How series become zones."""

    zones: Positive | Literal["auto"] = "auto"
    """Number of zones, or ``auto``."""
    clusterer: Literal["learned", "kmeans"] = "learned"
    """``learned``: in units of what varies within zones, which is learned with them; ``kmeans``: on the series as they
    are, as in the paper."""
    starts: Positive = 10
    """Starts of K-means; the best is kept. ``learned`` makes twice as many, where they are cheap."""
    of: str | None = None
    """A run folder whose zones are taken instead of making some; None: none."""
    levels: bool = True
    """Whether to take out, where zones are taken, what all tiles of a date have in common that those of the zones had
    not: haze, light, gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRefinement:
    """What `RefineSettings` come to, once it is known with what loss an encoder was trained."""

    epochs: int
    """Passes over the triplets."""
    learning_rate: float
    """Peak step size of Adam."""
    core_share: float
    """Share of each zone's tiles that the triplets are drawn from."""
    blend: float
    """Share of the refined weights in those of f^c."""
    rounds: int
    """Most rounds."""
    accept: bool
    """Whether a round must hold."""


USUAL_REFINEMENT = {
    "contrastive": SettledRefinement(epochs=3, learning_rate=2e-3, core_share=0.7, blend=0.5, rounds=3, accept=True),
    "triplet": SettledRefinement(epochs=5, learning_rate=1e-3, core_share=1.0, blend=1.0, rounds=1, accept=False),
}
"""By the loss of the first training; that of the paper is refined as in the paper (METHOD step 6)."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class RefineSettings:
    """How the first partition refines the embedding."""

    refine: bool = True
    """Whether to refine at all."""
    triplets_per_date: Positive | None = None
    """Triplets drawn from clusters on each date; None: as many as make 40 % of ``triplets`` over all dates, or 100, as
    in the paper, with the paper's loss."""
    epochs: Positive | None = None
    """Passes over those triplets; None: 3, or 5 with the paper's loss."""
    learning_rate: PositiveReal | None = None
    """Peak step size of Adam; None: 0.002, or 0.001 with the paper's loss."""
    core_share: Annotated[float, Field(gt=0, le=1), BeforeValidator(_no_switch)] | None = None
    """Share of each zone's tiles, those least torn between zones, that the triplets are drawn from; None: 0.7, or all
    with the paper's loss."""
    blend: Share | None = None
    """Share of the refined weights in those of f^c, the rest being f^g's; None: 0.5, or 1 with the paper's loss."""
    rounds: Positive | None = None
    """Most rounds of zones that teach the embedding and an embedding that makes zones; they end earlier where the zones
    come to rest. None: 3, or 1 with the paper's loss."""
    accept: bool | None = None
    """Whether a round is kept only where neighbouring tiles stay together (`taxoscape.zones.rounds`). None: yes, or no
    with the paper's loss."""

    def after(self, first: EncoderSettings) -> SettledRefinement:
        """Return these settings with what is None as it is usual after the ``first`` training."""
        usual = USUAL_REFINEMENT[first.loss]
        return replace(usual, **{
            item.name: getattr(self, item.name) for item in fields(usual) if getattr(self, item.name) is not None
        })  # fmt: skip

    def per_date(self, n_times: int, first: EncoderSettings) -> int:
        """Return the triplets to draw on each of ``n_times`` dates, after the ``first`` training."""
        usual = (
            PAPER_PER_DATE if first.loss == "triplet" else math.ceil(REFINING_SHARE * first.triplets / max(1, n_times))
        )
        return self.triplets_per_date or usual


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class AnalysisSettings:
    """What is measured and compared beside the zones."""

    baselines: bool = False
    """Whether to put plain pixels and training-free encoders beside the result, with as many zones."""
    evidence: bool = True
    """Whether to measure partitions into 2…``most_zones`` zones, as evidence for the number of zones."""
    most_zones: Annotated[int, Field(ge=2), BeforeValidator(_no_switch)] = 15
    """Largest number of zones that the evidence looks at, and that ``auto`` chooses."""
    layers: dict[str, str] = field(default_factory=dict)
    """Other maps to read the zones by: path of a raster or of polygons by name; ``name:categorical`` and
    ``name:continuous`` say what a raster holds, ``path#attribute`` which attribute of polygons."""
    truth: str | None = None
    """Label raster that every partition is compared with; it has no part in making them."""
    min_share: Share = 0.5
    """Share of a tile's pixels that its label in ``truth`` must hold."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class PublishSettings:
    """How the result is drawn."""

    rgb: tuple[str, ...] = ()
    """Three bands (or one) for pictures, as names or 1-based numbers; empty: chosen by name, else the first."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class RunSettings:
    """What holds for all stages."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all randomness."""
    threads: Positive | None = None
    """Threads of numerical libraries; None: the cores of the machine, chosen once and kept on resume."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run; chosen once and kept on resume. With workers (``--scheduler``), ``auto`` is left to each."""
    precision: Precision = "auto"
    """What a network that encodes holds its maps in: ``bfloat16``, which is quick where the machine multiplies it, or
    ``float32``; ``auto``: the first for TileNet where the machine has it; chosen once and kept on resume."""
    batch_tiles: Positive | None = None
    """Tiles that a network that encodes is given at once; None: measured once and kept on resume."""
    memory: Annotated[int, BeforeValidator(_memory_size)] | None = None
    """Bytes that the process may take, 1.25 GiB at least; also written as "4G". What does not fit is read in blocks, as
    often as it takes: the result is the same. None: half of what is free when a stage begins."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_FORBID)
class Settings:
    """Every setting of a run, a section per stage."""

    cube: CubeSettings = field(default_factory=CubeSettings)
    """Scenes to cube."""
    grid: GridSettings = field(default_factory=GridSettings)
    """Tiles."""
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    """Embedding from geography."""
    zones: ZoneSettings = field(default_factory=ZoneSettings)
    """Clustering."""
    refine: RefineSettings = field(default_factory=RefineSettings)
    """Refinement."""
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    """Evidence and comparison."""
    publish: PublishSettings = field(default_factory=PublishSettings)
    """Maps and report."""
    run: RunSettings = field(default_factory=RunSettings)
    """Seed, threads, device."""


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "fast": {},
    "paper": {
        "grid": {"tile_size": 100},
        "encoder": {
            "network": "tilenet", "n_features": 512, "statistics": False, "loss": "triplet", "triplets": 100_000,
            "neighbourhood_px": 100, "epochs": 50, "batch_size": 50, "learning_rate": 1e-3, "margin": 50.0,
            "norm_penalty": 0.01,
        },
        "zones": {"clusterer": "kmeans"},
        "refine": {
            "triplets_per_date": PAPER_PER_DATE, "epochs": 5, "learning_rate": 1e-3, "core_share": 1.0, "blend": 1.0,
            "rounds": 1, "accept": False,
        },
    },
}  # fmt: skip
"""Settings by preset; ``paper`` follows the prototype (METHOD), ``fast`` is what the defaults above say."""


def resolve(explicit: Mapping[str, Mapping[str, Any]], preset: str = "fast") -> Settings:
    """Return the settings that explicit ones and a preset make together; explicit ones win.

    With an area of interest, tiles that reach over its edge are kept unless ``grid.partial`` says otherwise.

    Raises
    ------
    InputError
        With every fault in one message: unknown names, wrong types, values out of bounds.
    """
    if preset not in PRESETS:
        raise InputError(f"there is no preset '{preset}': take one of {', '.join(PRESETS)} (--preset)")
    merged = {name: dict(values) for name, values in PRESETS[preset].items()}
    for section, values in explicit.items():
        merged[section] = {**merged.get(section, {}), **values} if isinstance(values, Mapping) else values
    if _aoi_of(merged) and isinstance(merged.get("grid", {}), Mapping):
        merged["grid"] = {"partial": "keep", **merged.get("grid", {})}
    return from_dict(merged)


def _aoi_of(values: Mapping[str, Any]) -> Any:
    """Return the area of interest among settings that are not checked yet."""
    cube = values.get("cube")
    return cube.get("aoi") if isinstance(cube, Mapping) else None


def from_dict(values: Mapping[str, Any]) -> Settings:
    """Return settings from nested mappings as TOML holds them; `to_dict` is the inverse.

    Raises
    ------
    InputError
        With every fault in one message.
    """
    try:
        return TypeAdapter(Settings).validate_python(values)
    except ValidationError as error:
        faults = "; ".join(_fault(detail["loc"], detail["msg"], detail["input"]) for detail in error.errors())
        raise InputError(f"settings that cannot be used: {faults}") from None


def to_dict(settings: Settings) -> dict[str, Any]:
    """Return settings as nested dictionaries that TOML can hold; what is None is left out."""
    return {
        section: {name: _plain(value) for name, value in values.items() if value is not None}
        for section, values in asdict(settings).items()
    }


def differences(old: Settings, new: Settings) -> list[str]:
    """Return one line per setting that differs, as ``section.name: old → new``."""
    lines = []
    for section in fields(old):
        before, after = getattr(old, section.name), getattr(new, section.name)
        if not is_dataclass(before):
            continue
        for item in fields(before):
            was, now = getattr(before, item.name), getattr(after, item.name)
            if was != now and not (was != was and now != now):  # two NaN are the same setting
                lines.append(f"{section.name}.{item.name}: {was} → {now}")
    return lines


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fault(location: tuple[int | str, ...], message: str, value: Any) -> str:
    path = ".".join(str(part) for part in location)
    shown = "" if isinstance(value, dict) else f" (given: {value!r})"
    return f"{path}: {message[0].lower()}{message[1:]}{shown}"
