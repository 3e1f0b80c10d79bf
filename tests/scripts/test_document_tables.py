"""The tables of the documents are those of the code."""

from types import ModuleType

import pytest

from tests.scripts.loading import loaded


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded("document_tables")


def test_the_documents_are_up_to_date(script: ModuleType) -> None:
    for path in script.documents():
        text = path.read_text(encoding="utf-8")
        assert script.with_tables(text) == text, f"{path.name}: run python scripts/document_tables.py"


def test_the_documents_have_every_table(script: ModuleType) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in script.documents())
    for name in script.tables():
        assert text.count(f"<!-- table: {name} -->") == 1


def test_a_marked_table_is_replaced_and_the_rest_is_kept(script: ModuleType) -> None:
    text = "before\n<!-- table: trials -->\nold\n<!-- end of table -->\nafter\n"
    made = script.with_tables(text)
    assert made.startswith("before\n<!-- table: trials -->\n| name |")
    assert made.endswith("|\n<!-- end of table -->\nafter\n")
    assert "| `train` | Training | " in made


def test_a_table_that_there_is_not_is_an_error(script: ModuleType) -> None:
    with pytest.raises(KeyError, match="no_such"):
        script.with_tables("<!-- table: no_such -->\n<!-- end of table -->")
