"""A synthetic region with known zones, strategies for property tests, checks of laziness."""

from taxoscape.testing.region import GENERATOR_VERSION, Region, region_cube
from taxoscape.testing.writing import RegionFiles, write_region

__all__ = ["GENERATOR_VERSION", "Region", "RegionFiles", "region_cube", "write_region"]
