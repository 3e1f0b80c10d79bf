"""Every code block of the documents runs: Python with a small budget, commands up to where their work would begin."""

import ast
import importlib
import json
import linecache
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ray import tune

from raynas.cli import commands, main
from raynas.run import simulate
from raynas.trials import Function
from tests.run.stored import stored
from tests.torchvision_here import can_import_torchvision

# Among the files of own_cluster, whose process is free earlier than that of the cluster that tests share.
pytestmark = pytest.mark.usefixtures("ray_cluster")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

TRIALS = {"tabular.ipynb": 20, "text.ipynb": 9, "latency.md": 1}
"""Numbers of trials that the pictures of a notebook need at least, and one where each starts some on two devices; two
are enough for the other pages."""

BLOCK = re.compile(
    r"^(?P<outer> *)<!-- before the next block:\n(?P<before>.*?)-->|"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
"""A fenced block, or code in a comment that makes what the next one takes for granted."""

DONE = ("archives.md", "quickstart.md")
"""Pages that others carry out step by step: tests/cli/test_archive_page.py and tests/journeys/test_quickstart.py."""

OTHERS = ("make", "pip", "ray", "python", "tensorboard", "ruff", "cd", "wandb", "mlflow")
"""Commands that are not raynas's."""


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    code: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    if page.suffix == ".ipynb":
        yield from cells(page)
        return
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        is_hidden = match["before"] is not None
        rows, indent = (match["before"], match["outer"]) if is_hidden else (match["code"], match["indent"])
        code = "\n".join(row.removeprefix(indent) for row in rows.splitlines())
        yield Block(page, "python" if is_hidden else match["language"], code, line)


def cells(notebook: Path) -> Iterator[Block]:
    """Yield the cells of a notebook that hold code; they are numbered as lines are in a page."""
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"], 1):
        if cell["cell_type"] == "code":
            yield Block(notebook, "python", "".join(cell["source"]), number)


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if any(block.language == language for block in blocks(page))]


def not_done(pages: list[Path]) -> list[Path]:
    return [page for page in pages if page.name not in DONE]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a user who has some images, a model, a space and a search."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    stored(tmp_path / "results" / "NAME")
    (tmp_path / "my_search.yaml").write_text("num_samples: 3\n")
    return tmp_path


@pytest.fixture
def small(folder: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trials of one epoch, and all results in the folder."""
    few_trials = TRIALS.get(page.name, 2)
    for module_name, name in (("raynas.run.search", "search"), ("raynas.run.train_supernet", "train_supernet")):
        module = importlib.import_module(module_name)
        monkeypatch.setattr(module, name, _small(module, name, folder, few_trials))
    for limit in ("N_PROCESSES", "MAX_PROCESSES"):
        monkeypatch.setattr(f"raynas.run.final_measurement.{limit}", 1)
    monkeypatch.setattr("raynas.metrics.latency_predictor.graph.N_STEPS", 30)
    drive, few = simulate.drive, {"n": 12, "seeds": range(2)}
    monkeypatch.setattr(simulate, "drive", lambda *args, **options: drive(*args, **{**options, **few}))
    retrain = importlib.import_module("raynas.core.result").SearchResult.retrain
    monkeypatch.setattr("raynas.core.result.SearchResult.retrain", lambda self, epochs: retrain(self, 1))


def _small(module: Any, name: str, folder: Path, few_trials: int) -> Any:
    whole = getattr(module, name)
    numbers = count(1)

    def run(space: Any, trainable: Any, *args: Any, **options: Any) -> Any:
        if "progress" in options:  # raynas itself calls it
            return whole(space, trainable, *args, **options)
        own_folder = str(folder / "results" / f"{name}{next(numbers)}")
        fixed = {"progress": False, "tensorboard": False, "run_config": tune.RunConfig(storage_path=own_folder)}
        if name == "search":
            options["num_samples"] = min(options.get("num_samples", few_trials), few_trials)
            options.setdefault("max_concurrent", 1)  # one process, which imports once what a trial needs
        if hasattr(trainable, "epochs") and not isinstance(trainable, Function):  # a function counts its own epochs
            trainable = replace(trainable, epochs=1)
        return whole(space, trainable, *args, **{**fixed, **options})

    return run


@pytest.mark.parametrize("page", [*not_done(pages_with("python")), *NOTEBOOKS], ids=lambda page: page.name)
@pytest.mark.usefixtures("small")
def test_python_runs(page: Path) -> None:
    """The blocks of a page one after another, as in a notebook."""
    if not can_import_torchvision() and "torchvision" in page.read_text(encoding="utf-8"):
        pytest.skip("torchvision is not installed")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            file = f"<{page.name}, line {block.line}>"
            linecache.cache[file] = (len(block.code), None, block.code.splitlines(keepends=True), file)
            run(block.code, file, names)


def run(code: str, file: str, names: dict[str, Any]) -> None:
    """Execute code; draw the picture that its last line gives, as a notebook would."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, file, "exec"), names)
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), file, "eval"), names)
        assert not hasattr(shown, "to_json") or shown.to_json()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda page: page.name)
def test_notebooks_are_stored_without_outputs(notebook: Path) -> None:
    code = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("page", not_done(pages_with("")), ids=lambda page: page.name)
@pytest.mark.usefixtures("folder")
def test_commands_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command line is read as when it is given; the work itself is that of the tests of the command line."""
    for name in (
        "search",
        "retrain",
        "export",
        "convert",
        "blocks",
        "compress",
        "mine",
        "profile",
        "track",
        "report",
        "propose",
        "observe",
        "archive",
    ):
        monkeypatch.setattr(commands, f"_{name}", lambda request: commands.OK)
    for block in blocks(page):
        for line in block.code.replace("\\\n", " ").splitlines() if not block.language else ():
            if words := _words(line):
                _check(words, f"{page.name}: {line}")


def _words(line: str) -> list[str]:
    """Return a command without its comment and its variables; none if the line is no command."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    return words if words and words[0] in ("raynas", *OTHERS) else []


def _check(words: list[str], where: str) -> None:
    if words[0] == "raynas":
        try:
            assert main.main(words[1:]) == commands.OK, where
        except SystemExit as error:  # of --help
            assert not error.code, where
    elif words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file(), where
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}\b.*:", (ROOT / "Makefile").read_text(), re.MULTILINE), where


def test_the_documents_are_found() -> None:
    assert len(pages_with("python")) > 5
    assert os.path.isfile(PAGES[0])
