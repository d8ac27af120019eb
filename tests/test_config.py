from __future__ import annotations

import tomllib

import pytest
import tomli_w

from taxoscape.config import PRESETS, Settings, differences, from_dict, resolve, to_dict
from taxoscape.errors import InputError


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_toml(preset):
    settings = resolve({"zones": {"zones": 7}, "cube": {"bands": ["B02", "B03"], "nodata": 0}}, preset)
    assert from_dict(tomllib.loads(tomli_w.dumps(to_dict(settings)))) == settings


def test_all_faults_are_reported_at_once_with_their_place():
    with pytest.raises(InputError) as caught:
        resolve({"grid": {"tile_size": -3, "min_valid": 2}, "zones": {"zoness": 4}, "runn": {}})
    for part in ("grid.tile_size", "grid.min_valid", "zones.zoness", "runn"):
        assert part in str(caught.value)


def test_explicit_settings_beat_the_preset():
    settings = resolve({"grid": {"tile_size": 64}}, "paper")
    assert settings.grid.tile_size == 64
    assert settings.encoder.network == "tilenet"


def test_the_paper_preset_holds_the_numbers_of_the_method():
    encoder = resolve({}, "paper").encoder
    assert (encoder.triplets, encoder.epochs, encoder.batch_size, encoder.margin) == (100_000, 50, 50, 50.0)
    assert (encoder.norm_penalty, encoder.learning_rate, encoder.neighbourhood_px) == (0.01, 1e-3, 100)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="fast, paper"):
        resolve({}, "slow")


def test_differences_name_the_setting_and_both_values():
    assert differences(Settings(), resolve({"zones": {"zones": 5}})) == ["zones.zones: auto → 5"]
