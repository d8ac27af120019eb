"""Maps, tables, pictures and the report: what a run hands to people and to other programs.

Every module here takes finished numbers and writes one kind of file; nothing here decides anything about zones.
Files appear whole or not at all (`taxoscape.files`), and the same input gives the same bytes.

========  ==========================================================================
colour    colours of tiles and zones that show likeness
areas     true areas of the cells of a grid
table     the table of zones that maps, polygons and report share
rasters   zones and colours as GeoTIFF
vectors   zones as polygons in a GeoPackage
qgis      the QGIS style of the zone map
figures   pictures (the only place that loads matplotlib)
report    one HTML file that opens without a network
========  ==========================================================================
"""
