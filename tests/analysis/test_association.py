"""Zones against layers: the measures against SciPy and loops, the null against its nominal rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats.contingency import association as scipy_association

from taxoscape.analysis.association import association, cramers_v, eta_squared
from taxoscape.errors import InputError


def smooth(rng, height=24, width=32, sigma=3.0):
    return gaussian_filter(rng.normal(size=(height + 40, width + 40)), sigma)[20:-20, 20:-20].ravel()


def places(height=24, width=32):
    return np.divmod(np.arange(height * width), width)


def zones_from(field, k=4):
    return (np.digitize(field, np.quantile(field, np.linspace(0, 1, k + 1)[1:-1])) + 1).astype(np.uint8)


@given(seed=st.integers(0, 500), k=st.integers(2, 5), c=st.integers(2, 6), n=st.integers(12, 60))
def test_plain_v_equals_scipy(seed, k, c, n):
    rng = np.random.default_rng(seed)
    labels, classes = rng.integers(1, k + 1, n), rng.integers(1, c + 1, n)
    table = np.array([[((labels == i) & (classes == j)).sum() for j in np.unique(classes)] for i in np.unique(labels)])
    if min(table.shape) > 1:
        assert cramers_v(labels, classes, corrected=False) == pytest.approx(scipy_association(table, method="cramer"))


@given(seed=st.integers(0, 500), k=st.integers(2, 5), c=st.integers(2, 6), n=st.integers(12, 60))
def test_corrected_v_equals_the_formula_of_bergsma_in_loops(seed, k, c, n):
    rng = np.random.default_rng(seed)
    labels, classes = rng.integers(1, k + 1, n), rng.integers(1, c + 1, n)
    zones, kinds = np.unique(labels), np.unique(classes)
    r, s = len(zones), len(kinds)
    if min(r, s) < 2:
        assert np.isnan(cramers_v(labels, classes))
        return
    chi2 = 0.0
    for i in zones:
        for j in kinds:
            expected = (labels == i).sum() * (classes == j).sum() / n
            chi2 += (((labels == i) & (classes == j)).sum() - expected) ** 2 / expected
    phi = max(0, chi2 / n - (r - 1) * (s - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), s - (s - 1) ** 2 / (n - 1)) - 1
    assert cramers_v(labels, classes) == pytest.approx(min(1, np.sqrt(phi / least)))


@given(seed=st.integers(0, 500), k=st.integers(2, 5), n=st.integers(6, 60))
def test_eta_squared_is_between_over_total_variance_in_loops(seed, k, n):
    rng = np.random.default_rng(seed)
    labels, values = rng.integers(1, k + 1, n), rng.normal(size=n) + 100
    if len(np.unique(labels)) < 2:
        return
    between = sum((labels == z).sum() * (values[labels == z].mean() - values.mean()) ** 2 for z in np.unique(labels))
    assert eta_squared(labels, values) == pytest.approx(between / ((values - values.mean()) ** 2).sum())


def test_zones_that_are_the_layer_have_v_and_eta_of_one():
    labels = zones_from(smooth(np.random.default_rng(0)))
    found = association(labels, labels.astype(np.int32), *places(), rng=0, draws=99)
    assert (found.measure, found.n_tiles, found.draws) == ("cramers_v", 768, 99)
    assert found.value == pytest.approx(1)
    assert found.plain == pytest.approx(1)
    assert found.p == pytest.approx(0.01)
    found = association(labels, labels * 10.0, *places(), rng=0, draws=99)
    assert (found.measure, found.value) == ("eta_squared", pytest.approx(1))


def test_independent_smooth_maps_are_called_significant_at_about_the_nominal_rate_and_by_shuffling_nearly_always():
    found, naive = [], []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        zones, layer = zones_from(smooth(rng, 20, 26)), smooth(rng, 20, 26)
        values = zones_from(layer, 3).astype(np.int32) if seed % 2 else layer
        result = association(zones, values, *places(20, 26), rng=seed, draws=59)
        found.append(result.p)
        measure = cramers_v if seed % 2 else eta_squared
        shuffled = [measure(zones, rng.permutation(values)) for _ in range(19)]
        naive.append((1 + sum(v >= result.value for v in shuffled)) / 20)
    assert np.mean(np.array(found) <= 0.05) <= 0.12
    assert np.mean(np.array(naive) <= 0.05) >= 0.6


def test_a_layer_that_zones_follow_is_found():
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        field = smooth(rng)
        layer = field / field.std() + smooth(rng, sigma=2) / smooth(rng, sigma=2).std() * 0.5
        found.append(association(zones_from(field), layer, *places(), rng=0, draws=99))
    assert np.median([a.p for a in found]) <= 0.02
    assert all(a.value > a.null_95 > a.null_mean > 0 for a in found if a.p <= 0.02)


def test_ragged_regions_and_missing_tiles_take_no_part():
    rng = np.random.default_rng(1)
    zones, layer = zones_from(smooth(rng)), smooth(rng)
    row, col = places()
    zones[(row + col) < 12] = 0
    layer[col > 28] = np.nan
    found = association(zones, layer, row, col, rng=0, draws=99)
    used = (zones > 0) & np.isfinite(layer)
    assert found.n_tiles == used.sum()
    assert found.value == pytest.approx(eta_squared(zones[used], layer[used]))
    keep = zones > 0
    only = association(zones[keep], layer[keep], row[keep] + 400, col[keep] - 90, rng=0, draws=99)
    assert (only.value, only.n_tiles) == (pytest.approx(found.value), found.n_tiles)
    assert only.draws > 50


def test_every_move_of_a_tiny_region_is_taken_once():
    labels = np.array([1, 1, 2, 2, 1, 2])
    found = association(labels, np.array([1.0, 1.1, 2.0, 2.2, 1.4, 1.9]), *places(2, 3), rng=0)
    assert found.draws == 4 * 6 - 1


def test_the_layer_that_is_moved_by_a_full_period_of_mirrors_is_itself():
    from taxoscape.analysis.association import _moved

    place = np.arange(12).reshape(3, 4)
    row, col = places(3, 4)
    assert _moved(place, row, col, 0).tolist() == list(range(12))
    mirrored = _moved(place, row, col, 3 * 8 + 4).reshape(3, 4)
    assert mirrored.tolist() == place[::-1, ::-1].tolist()


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (np.ones(6, int), np.arange(6.0)), (np.array([1, 1, 1, 2, 2, 2]), np.full(6, 3.3)),
        (np.array([1, 1, 1, 2, 2, 2]), np.full(6, 2)), (np.zeros(6, int), np.arange(6.0)),
        (np.array([1, 1, 1, 2, 2, 2]), np.full(6, np.nan)), (np.zeros(6, int), np.arange(6)),
    ],
)  # fmt: skip
def test_what_is_constant_or_empty_has_no_association(labels, values):
    found = association(labels, values, *places(2, 3), rng=0)
    assert np.isnan([found.value, found.p, found.null_95, found.null_mean]).all()
    assert found.draws == 0


def test_the_same_seed_gives_the_same_null():
    rng = np.random.default_rng(0)
    zones, layer = zones_from(smooth(rng)), smooth(rng)
    one, other = (association(zones, layer, *places(), rng=5, draws=49) for _ in range(2))
    assert one == other


def test_arrays_of_different_length_are_refused():
    with pytest.raises(InputError, match="one entry per tile; these have 2, 3, 2 and 2"):
        association(np.ones(2, int), np.ones(3), np.zeros(2, int), np.zeros(2, int), rng=0)


def mirrored(layer, down, right):
    """Return a layer (row, col) continued by its mirror images and moved: what comes to lie on it."""
    height, width = layer.shape
    wide = np.pad(layer, ((0, 2 * height), (0, 2 * width)), mode="symmetric")
    return wide[down : down + height, right : right + width]


def naive_null(labels, layers, statistic):
    """Return the statistic after every joint move of several maps but the one that moves none, by full enumeration."""
    moves = [
        [(d, r) for d in range(2 * m.shape[0]) for r in range(2 * m.shape[1])]
        if (z > 0).any() and np.isfinite(m).any()
        else [(0, 0)]
        for z, m in zip(labels, layers, strict=True)
    ]
    compared = sum(int(((z > 0) & np.isfinite(m)).sum()) for z, m in zip(labels, layers, strict=True))
    zone, null = np.concatenate([z.ravel() for z in labels]), []
    for joint in itertools.product(*moves):
        if all(move == (0, 0) for move in joint):
            continue
        value = np.concatenate([mirrored(m, *move).ravel() for m, move in zip(layers, joint, strict=True)])
        both = (zone > 0) & np.isfinite(value)
        if both.sum() >= max(compared / 2, 2):
            found = statistic(zone[both], value[both])
            if np.isfinite(found):
                null.append(found)
    return np.array(null)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([[(3, 4)], [(4, 1)], [(2, 2), (1, 3)], [(2, 1), (1, 1)]]))
def test_null_and_p_are_those_of_all_moves_of_small_maps(seed, classes, shapes):
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, 3, shape) for shape in shapes]
    layers = [np.where(rng.random(shape) < 0.2, np.nan, rng.integers(1, 4, shape).astype(float)) for shape in shapes]
    flat = np.concatenate([layer.ravel() for layer in layers])
    values = np.nan_to_num(flat).astype(np.int64) if classes else flat
    places = [np.indices(shape).reshape(2, -1) + 10 * i for i, shape in enumerate(shapes)]
    rows, cols = np.concatenate(places, axis=1)
    part = np.repeat(np.arange(len(shapes)), [layer.size for layer in layers]) if len(shapes) > 1 else None
    found = association(np.concatenate([z.ravel() for z in labels]), values, rows, cols, rng=seed, part=part)

    def statistic(zone, value):
        return cramers_v(zone, value.astype(np.int64)) if classes else eta_squared(zone, value)

    null = naive_null(labels, layers, statistic) if np.isfinite(found.value) else np.empty(0)
    assert found.draws == len(null)
    if len(null):
        assert found.null_mean == pytest.approx(null.mean())
        assert found.null_95 == pytest.approx(np.quantile(null, 0.95))
        assert found.p == pytest.approx((1 + (null >= found.value - 1e-9).sum()) / (1 + len(null)))


def test_one_region_by_name_is_the_same_as_no_regions():
    rng = np.random.default_rng(3)
    zones, layer = zones_from(smooth(rng)), smooth(rng)
    plain = association(zones, layer, *places(), rng=5, draws=49)
    assert association(zones, layer, *places(), rng=5, draws=49, part=np.full(len(zones), 7)) == plain


def test_where_regions_lie_beside_each_other_does_not_matter_and_no_move_mixes_them():
    rng = np.random.default_rng(4)
    row, col = np.concatenate([np.indices((9, 11)).reshape(2, -1), np.indices((6, 14)).reshape(2, -1)], axis=1)
    part = np.repeat([1, 2], [99, 84])
    zones, layer = rng.integers(1, 4, 183), rng.normal(size=183)
    found = [association(zones, layer, row + part * gap, col, rng=0, draws=49, part=part) for gap in (10, 500)]
    assert found[0] == found[1]
    assert found[0].draws == 49
    apart = association(part, part * 10.0, row + part * 10, col, rng=0, draws=49, part=part)
    assert (apart.value, apart.null_mean, apart.p) == pytest.approx((1, 1, 1))  # nothing differs within regions


def test_tiles_between_regions_make_no_moves_of_their_own():
    rng = np.random.default_rng(1)
    row, col = places(9, 3)
    part = np.where(row < 3, 1, np.where(row > 5, 2, 0))
    zones, layer = np.where(part, rng.integers(1, 3, 27), 0), np.where(part, rng.normal(size=27), np.nan)
    inside = part > 0
    whole = association(zones, layer, row, col, rng=0, draws=99, part=part)
    assert whole == association(
        zones[inside], layer[inside], row[inside], col[inside], rng=0, draws=99, part=part[inside]
    )


def test_zones_and_layer_that_go_together_within_regions_are_found_over_all_of_them():
    rng = np.random.default_rng(6)
    fields = [smooth(rng, 16, 20) for _ in range(3)]
    row, col = np.concatenate([np.array(places(16, 20)) + 40 * i for i in range(3)], axis=1)
    part, field = np.repeat([0, 1, 2], 320), np.concatenate(fields)
    found = association(zones_from(field), field + 0.1 * part, row, col, rng=0, draws=99, part=part)
    assert found.p <= 0.02


def test_regions_are_said_of_each_tile():
    with pytest.raises(InputError, match="it has 3 entries for 4 tiles"):
        association(np.ones(4, int), np.ones(4), *places(2, 2), rng=0, part=np.ones(3, int))
