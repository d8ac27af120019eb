"""Scenes become one lazy, aligned, masked array: the cube.

The road: `discover` finds the rasters, `rasters` is the one gate that opens them, `dates` and `bands` say what they
hold, `align` puts them on one lattice of whole pixels, `plan` makes a `planned.CubePlan` of all that without reading
pixels. `mosaic` reads windows of a plan, `lazy` shows it as an xarray DataArray, `store` keeps it as Zarr. `foreign`
takes arrays, NetCDF and Zarr that others made; `open` is the door to all of these. `labels` reads a label raster on
the tile grid, `fingerprint` tells whether files changed.
"""
