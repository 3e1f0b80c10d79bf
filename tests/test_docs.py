"""What the documents say of the code is so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

PATH = re.compile(
    r"(?<![\w/.~-])((?:raynas|search_spaces|trials|scripts|tests|docs|core|run|metrics|nn)/[\w./-]+\.(?:py|md|toml))\b"
)
"""A file of the project, named from the root or from raynas/."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    named = set(PATH.findall(document.read_text(encoding="utf-8")))
    patterns = {name for name in named if Path(name).stem.endswith("NAME")}
    assert all((ROOT / name).parent.is_dir() for name in patterns)
    missing = [name for name in named - patterns if not any((ROOT / base / name).exists() for base in ("", "raynas"))]
    assert not missing


def test_the_architecture_names_every_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = [path.parent.name for path in (ROOT / "raynas").glob("*/__init__.py")]
    assert [name for name in folders if f"`raynas/{name}`" not in text] == []


def test_the_core_path_is_short() -> None:
    """The files to read first have at most 650 lines of code: no blank lines, comments, docstrings."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("## Read these seven files", 1)[1].split("\n## ", 1)[0]
    files = re.findall(r"^\| `([\w/.]+\.py)` \|", section, re.MULTILINE)
    assert len(files) == 7
    assert sum(lines_of_code(ROOT / name) for name in files) <= 650


def lines_of_code(path: Path) -> int:
    source = path.read_text(encoding="utf-8")
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(source.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in docstrings for n, line in lines)
