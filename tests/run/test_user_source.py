import functools
import importlib
import itertools
import linecache
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from raynas.run.user_source import name_of, parts_of

SCRIPT = """
'''A script of a user's.'''
import math
import time
import numpy as np
from torch import nn
import {helpers} as helpers
from {helpers} import scaled

RATE = 0.1
STARTED = time.time()
UNUSED = 1
BIG, SMALL = 10, 1
DATA = np.arange(12.0)
if RATE < 1:
    CHOSEN = "low"


class Net(nn.Module):
    '''A network.'''
    width = SMALL

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(BIG, helpers.CLASSES)


def loss(x):
    return math.exp(x) * RATE


def train(model, config, decay=0.9):
    '''Train.'''
    # a comment
    from {helpers} import late
    model.started = STARTED
    return loss(decay) + scaled(DATA.sum()) + len(CHOSEN) + helpers.twice(1) + late()


def other():
    return 1


def make(factor):
    def scorer(model, config):
        return factor * RATE
    return scorer


first, second = (lambda m, c: 1), (lambda m, c: 2)
"""

HELPERS = """
CLASSES = 3
OTHER = 4

def scaled(x):
    return x * 2

def twice(x):
    return x + x

def late():
    return 0

def unused():
    return 1
"""

_numbers = itertools.count()


class Scripts:
    """Writes a script with a module beside it, and imports it under a new name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.helpers = f"helpers_{next(_numbers)}"
        self.name = f"script_{next(_numbers)}"

    def load(self, *edits: tuple[str, str], helpers: tuple[tuple[str, str], ...] = ()) -> ModuleType:
        for name, source, changes in ((self.helpers, HELPERS, helpers), (self.name, SCRIPT, edits)):
            text = source.replace("{helpers}", self.helpers)
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            (self.folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        linecache.clearcache()
        importlib.invalidate_caches()
        return importlib.import_module(self.name)


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Scripts(tmp_path)


def changed(scripts: Scripts, *edits: tuple[str, str], what: str = "train", **more: Any) -> set[str]:
    """Return the parts that an edit changes, in words without the names of the files."""
    before, after = parts_of(getattr(scripts.load(), what)), parts_of(getattr(scripts.load(*edits, **more), what))
    differing = {part for part in {**before, **after} if before.get(part) != after.get(part)}
    return {
        part.replace(f"{scripts.name}.py", "SCRIPT").replace(f"{scripts.helpers}.py", "HELPERS") for part in differing
    }


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (("return loss(decay)", "return 2 * loss(decay)"), {"the source of train in SCRIPT"}),
        (("math.exp(x)", "math.log(x)"), {"the source of loss in SCRIPT"}),
        (("RATE = 0.1", "RATE = 0.2"), {"the assignment of RATE in SCRIPT", "the value of RATE in SCRIPT"}),
        (("12.0", "13.0"), {"the assignment of DATA in SCRIPT", "the value of DATA in SCRIPT"}),
        (('"low"', '"high"'), {"the assignment of CHOSEN in SCRIPT", "the value of CHOSEN in SCRIPT"}),
        (
            ("decay=0.9", "decay=0.8"),
            {"the source of train in SCRIPT", "the value of decay of train in SCRIPT"},
        ),
        (("# a comment", "# another\n\n"), set()),
        (("'''Train.'''", "'''Trains.'''"), set()),
        (("UNUSED = 1", "UNUSED = 2"), set()),
        (("def other():\n    return 1", "def other():\n    return 2"), set()),
        (("time.time()", "time.time() + 1"), {"the assignment of STARTED in SCRIPT"}),
    ],
)
def test_an_edit_is_named(scripts: Scripts, edit: tuple[str, str], parts: set[str]) -> None:
    assert changed(scripts, edit) == parts


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (("x * 2", "x * 3"), {"the source of scaled in HELPERS", "the source of HELPERS"}),
        (("x + x", "2 * x"), {"the source of twice in HELPERS", "the source of HELPERS"}),
        # The function imports this module itself, which need not be loaded before: the file counts.
        (("return 0", "return 2"), {"the source of HELPERS"}),
    ],
)
def test_an_edit_in_a_module_beside_it_is_named(scripts: Scripts, edit: tuple[str, str], parts: set[str]) -> None:
    assert changed(scripts, helpers=(edit,)) == parts


def test_what_is_not_called_does_not_count(scripts: Scripts) -> None:
    edit = (("def unused():\n    return 1", "def unused():\n    return 2"), ("OTHER = 4", "OTHER = 5"))
    assert changed(scripts, helpers=edit, what="Net") == set()


def test_a_class_is_one_part(scripts: Scripts) -> None:
    assert changed(scripts, ("self.layer =", "self.another ="), what="Net") == {"the source of Net in SCRIPT"}
    assert "the assignment of BIG in SCRIPT" in changed(scripts, ("BIG, SMALL = 10", "BIG, SMALL = 20"), what="Net")
    assert changed(scripts, helpers=(("CLASSES = 3", "CLASSES = 5"),), what="Net") == {
        "the assignment of CLASSES in HELPERS",
        "the value of CLASSES in HELPERS",
    }


def test_values_that_a_function_was_made_with(scripts: Scripts) -> None:
    make = scripts.load().make
    one, two = parts_of(make(1)), parts_of(make(2.5))
    title = f"the value of factor of make.scorer in {scripts.name}.py"
    assert (one.pop(title), two.pop(title)) == ("1", "2.5")
    assert one == two
    data = [torch.arange(10.0), torch.arange(10.0), torch.arange(10.0) + 1]
    a, b, c = (parts_of(make(values))[title] for values in data)
    assert a == b != c
    partial, another = (parts_of(functools.partial(make(1), config=rate)) for rate in (0.1, 0.2))
    assert {part for part in partial if partial[part] != another[part]} == {
        f"the value of argument config of {scripts.name}.scorer"
    }


def test_two_lambdas_of_one_line(scripts: Scripts) -> None:
    module = scripts.load()
    assert parts_of(module.first) != parts_of(module.second)
    assert parts_of(module.first) == parts_of(scripts.load(("UNUSED = 1", "UNUSED = 1\n")).first)


class Scorer:
    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.itself = self

    def __call__(self, model: object, config: object) -> float:
        return self.rate

    def score(self, model: object, config: object) -> float:
        return self.rate


def test_objects_that_are_called() -> None:
    for one, two in ((Scorer(0.1), Scorer(0.2)), (Scorer(0.1).score, Scorer(0.2).score)):
        before, after = parts_of(one), parts_of(two)
        differing = {part for part in before if before[part] != after[part]}
        assert differing == {"the value of rate of a Scorer"}
        assert "the source of Scorer in test_user_source.py" in before


def test_installed_packages_and_raynas_are_not_looked_into() -> None:
    assert parts_of(np.linalg.norm, torch.nn.Linear, parts_of, len, None, 3) == {}


class Hostile:
    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


HOSTILE = Hostile()


def test_a_value_that_cannot_be_looked_at_does_no_harm() -> None:
    def train(model: object, config: object, hostile: object = HOSTILE) -> object:
        return HOSTILE, hostile

    assert any(part.startswith("the source of") for part in parts_of(train))


def test_the_same_in_every_process(tmp_path: Path) -> None:
    """Sets are in another order in each; code without a file is compared as compiled."""
    script = """
        from raynas.run.user_source import parts_of
        KINDS = {"a", "b", "c", "d"}
        def train(model, config, kinds=frozenset(("x", "y", "z"))):
            return config["kind"] in {"e", "f", "g"} and KINDS and kinds
        print(sorted(parts_of(train).items()))
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    again = f"import runpy; runpy.run_path({str(tmp_path / 'script.py')!r}, run_name='__main__')"
    found = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script) + again],
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    lines = found.pop().splitlines()
    assert len(lines) == 2 and all(b"train" in line for line in lines) and lines[0] != lines[1]


def test_names() -> None:
    assert name_of(test_names) == "test_user_source.test_names"
    assert name_of(lambda: 0) == "test_user_source.lambda"
    assert name_of(functools.partial(test_names)) == "test_user_source.test_names"
    assert name_of(Scorer(0.1)) == name_of(Scorer) == "test_user_source.Scorer"
