"""Every public name has a docstring, and a place in the reference that ``make docs`` builds."""

import ast
import importlib
import inspect
import re
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_english import docstrings

REFERENCE = Path(__file__).parents[1] / "docs" / "api"
PAGES = {
    module: page
    for page in sorted(REFERENCE.glob("*.md"))
    for module in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8"))
}
PARTS = ("analysis", "codesign", "converting", "exporting", "metrics", "nn", "oneshot", "search_spaces", "strategies")
OTHERS = (
    "compressing.adapters",
    "compressing.assembling",
    "compressing.mining",
    "low_rank",
    "precision",
    "testing",
    "trials",
    "views.trackers",
)
PUBLIC = ["raynas", *(f"raynas.{part}" for part in (*PARTS, *OTHERS))]


def test_every_public_module_has_a_page() -> None:
    assert sorted(PAGES) == sorted(PUBLIC)
    listed = (REFERENCE / "index.md").read_text(encoding="utf-8").split()
    assert [page.stem for page in PAGES.values() if page.stem not in listed] == []


def test_every_document_is_in_the_table_of_contents() -> None:
    listed = (REFERENCE.parent / "index.md").read_text(encoding="utf-8").split()
    assert [page.stem for page in REFERENCE.parent.glob("*.md") if page.stem not in (*listed, "index")] == []


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_described(module: str) -> None:
    """Autodoc takes classes and functions from where they are exported; constants from where they are written."""
    page = PAGES[module].read_text(encoding="utf-8")
    elsewhere = {name: home for home, name in re.findall(r"autodata:: (\S+)\.(\w+)$", page, re.MULTILINE)}
    exported = importlib.import_module(module)
    assert [name for name in exported.__all__ if not _is_described(exported, name, elsewhere)] == []
    unknown = [n for n, home in elsewhere.items() if getattr(exported, n) is not getattr(sys.modules[home], n)]
    assert unknown == []


def _is_described(exported: ModuleType, name: str, elsewhere: dict[str, str]) -> bool:
    value = getattr(exported, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return bool(value.__doc__)
    home = sys.modules[elsewhere.get(name, exported.__name__)]
    return name in _described_constants(Path(inspect.getsourcefile(home) or ""))


def _described_constants(path: Path) -> set[str]:
    """Return the constants of a module that a docstring follows."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    lines = {line for line, _ in docstrings(path)}
    return {
        target.id
        for before, after in pairwise(body)
        if isinstance(before, ast.Assign | ast.AnnAssign) and after.lineno in lines
        for target in (before.targets if isinstance(before, ast.Assign) else [before.target])
        if isinstance(target, ast.Name)
    }
