"""The numbers in docs/methods.md are those of the code."""

import ast
import re
from functools import reduce
from pathlib import Path

import pytest

from raynas.oneshot import ONESHOT
from raynas.trials import SupernetTraining
from raynas.trials.supernet.recipes import RECIPES

TEXT = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
LEARNED = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
TRAINED = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("method", "setting", "authors", "ours"), LEARNED)
def test_settings_of_methods(method: str, setting: str, authors: str, ours: str) -> None:
    value = reduce(getattr, setting.split("."), ONESHOT[method]())
    assert ast.literal_eval(ours) == value == ast.literal_eval(authors)


@pytest.mark.parametrize("row", TRAINED, ids=lambda row: row[0])
def test_settings_of_training(row: tuple[str, ...]) -> None:
    ours = SupernetTraining.paper(row[0])
    epochs, batch_size, lr, last, share = map(float, row[1:])
    assert (ours.epochs, ours.batch_size, ours.lr, ours.final_lr_share) == (epochs, batch_size, lr, share)
    assert lr * share == pytest.approx(last)


def test_the_tables_are_whole() -> None:
    assert len(LEARNED) > 20 and [row[0] for row in TRAINED] == list(RECIPES)
