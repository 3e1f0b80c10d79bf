"""The page on JSON is that of the code."""

import json
from types import ModuleType

import pytest

from raynas.cli.answers import ANSWERS
from raynas.cli.main import COMMANDS
from tests.scripts.loading import loaded


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded("json_docs")


def test_the_page_and_the_schema_are_up_to_date(script: ModuleType) -> None:
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.page(text) == text, "run python scripts/json_docs.py"
    assert json.loads(script.SCHEMA.read_text(encoding="utf-8")) == json.loads(json.dumps(script.schema()))


def test_every_command_has_an_answer() -> None:
    assert {command.partition(" ")[0] for command in ANSWERS} == COMMANDS.keys()


def test_every_exit_code_is_explained(script: ModuleType) -> None:
    assert script.codes().count("\n") == 2 + 7
    assert "| 3 | no architecture meets the constraints" in script.page("")
