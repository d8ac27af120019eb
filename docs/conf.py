"""Sphinx settings: Markdown pages and the reference from docstrings."""

from taxoscape import __version__

project = "taxoscape"
author = "The taxoscape founders"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
default_role = "any"
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "What kinds of land are there, where, and how do they change?",
    "fixed_sidebar": True,
}
exclude_patterns = ["_build"]
suppress_warnings = ["ref.any", "ref.ref"]
