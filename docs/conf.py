"""How the documentation is built: `make docs`."""

from importlib.metadata import version as installed_version

project = "thrum"
author = "The thrum developers"
release = version = installed_version("thrum")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "thrum"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
