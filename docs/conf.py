"""Settings of Sphinx for ``make docs``: the pages of this folder, and the reference from the docstrings."""

import re

from sphinx.application import Sphinx

import raynas

project = "raynas"
author = "the authors of raynas"
release = version = raynas.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # pages link to headings as on the web site of the repository
exclude_patterns = ["notebooks"]  # they are offered as files

autodoc_member_order = "groupwise"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are named once, where the class declares them

html_theme = "furo"
html_title = f"raynas {release}"

for name in raynas.__all__:  # raynas imports them at first use, and autodoc lists what is there
    setattr(raynas, name, getattr(raynas, name))

OUTSIDE = re.compile(r"\[([^]]+)\]\((\.\./[^)]+\.md)\)")
"""A link to a document that is not in this folder."""


def offer_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Turn links to documents outside into downloads, but for the one that has a page."""
    text = source[0].replace("](../CONTRIBUTING.md)", "](contributing.md)")
    source[0] = OUTSIDE.sub(r"{download}`\1 <\2>`", text) if "/" not in page else text


def keep_colons(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Keep Napoleon from reading the text before a colon as the type of an attribute."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\")  # an escaped end of line, which leaves nothing on the page


def setup(app: Sphinx) -> None:
    """Connect what is above; Sphinx calls it."""
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # Napoleon's is 500
    app.connect("source-read", offer_files)
