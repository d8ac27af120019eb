import pytest

from taxoscape.cube.spectral import spectrum


@pytest.mark.parametrize(
    ("bands", "red", "near"),
    [
        (("B02", "B03", "B04", "B08", "B8A"), 2, 3), (("B04", "B8A"), 0, 1), (("red", "nir"), 0, 1),
        (("B4", "B5"), 0, None), (("SR_B4", "SR_B5"), 0, 1), (("SR_B3", "SR_B4", "SR_B5", "SR_B7"), 0, 1),
        (("SR_B4", "SR_B5", "SR_B6", "SR_B7"), 0, 1), (("1", "2", "3"), None, None), (("red", "nir08"), 0, 1),
    ],
)  # fmt: skip
def test_red_and_near_infrared_are_known_by_name(bands, red, near):
    found = spectrum(bands)
    assert (found.red, found.near_infrared) == (red, near)


def test_an_index_is_no_brightness():
    found = spectrum(("NDVI", "red"))
    assert (found.ndvi, found.brightness) == (0, (1,))
