"""The QGIS style of the zone map: a file ``zones.qml`` beside ``zones.tif`` that QGIS loads by itself.

Only the elements that QGIS 3.4 to 3.40 agree on: a paletted renderer on band 1 with one entry per zone; 0 is not listed
and so stays transparent, as nodata does anyway.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from taxoscape.files import replacing
from taxoscape.publish.table import ZoneRow

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_zone_style(path: str | os.PathLike[str], table: Sequence[ZoneRow]) -> None:
    """Write the QGIS style of a zone map: ``path`` is the map's path with the suffix ``.qml``."""
    root = ElementTree.Element("qgis", version="3.28.0", styleCategories="Symbology", hasScaleBasedVisibilityFlag="0")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    ElementTree.SubElement(renderer, "rasterTransparency")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for row in table:
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(row.zone), label=xml_text(row.name), color=row.hex, alpha="255"
        )
    ElementTree.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="1")
    write_xml(path, root, doctype="<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>")


def write_xml(path: str | os.PathLike[str], root: ElementTree.Element, doctype: str = "") -> None:
    """Write an XML tree, indented, in UTF-8."""
    ElementTree.indent(root)
    lines = [doctype] if doctype else []
    lines += [ElementTree.tostring(root, encoding="unicode"), ""]
    with replacing(Path(path)) as temporary:
        temporary.write_bytes("\n".join(lines).encode())


def xml_text(text: str) -> str:
    """Return text without the control characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
