"""The benchmark of conversion: its checks, at its smallest."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.converting import convert
from raynas.core.inputs import Arguments
from scripts.bench.conversion_checks import CHECKS, CLOSE_CHECKS, one
from scripts.bench.conversion_tables import report
from scripts.bench.convert_models import main
from scripts.bench.given_models import MODELS, UNet
from scripts.bench.numbered import gap_of_pruned, number
from scripts.bench.outputs import output
from scripts.bench.search_quality import read
from scripts.bench.silenced import silenced_output
from tests.converting.test_conversion import converted


@pytest.mark.parametrize("name", ["resnet", "mobile", "unet", "language"])
def test_a_member_computes_what_the_given_model_does_when_the_rest_is_silent(name: str) -> None:
    _, example, space = converted(name)
    expected = output(space.build(space.smallest).eval().double(), example)
    torch.testing.assert_close(silenced_output(space, space.smallest, example), expected)
    others = {**space.smallest, next(iter(space.smallest)): max(space.decisions[0].options)}
    assert not torch.allclose(silenced_output(space, space.canonical(others), example), expected)


def test_every_check_of_a_model_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    row = one("MLP", "raynas", 3, 2)
    assert row["passed"] == dict.fromkeys(CHECKS, 3) | dict.fromkeys(CLOSE_CHECKS, 2) and not row["reasons"]
    assert row["largest"] == 0 and row["equal_costs"] and row["smallest"] < 0.5
    assert (row["widths"], row["heads"], row["depths"]) == (3, 0, 0)
    monkeypatch.setattr("scripts.bench.conversion_checks.silenced_output", lambda *_: torch.zeros(2, 3))
    wrong = one("MLP", "raynas", 3)
    assert wrong["passed"] == dict.fromkeys((*CHECKS, "trained"), 3) | {"silenced": 0}
    assert "differs by" in wrong["reasons"]["silenced"]


@pytest.mark.parametrize("inputs_cut", [slice(0, 2), slice(1, 3)], ids=["right", "wrong"])
def test_a_pruned_network_is_compared_with_silent_channels(inputs_cut: slice) -> None:
    """A layer loses its last two units; the next one must lose the same two inputs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    given, example = copy.deepcopy(model), Arguments((torch.rand(2, 3),))
    number(model)
    hidden, last = model[0], model[2]
    assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear) and hidden.bias is not None
    hidden.weight, hidden.bias = nn.Parameter(hidden.weight[:2]), nn.Parameter(hidden.bias[:2])
    last.weight = nn.Parameter(last.weight[:, inputs_cut])
    assert (gap_of_pruned(model, given, example) == 0) == (inputs_cut == slice(0, 2))


def test_models_of_the_bench_are_converted() -> None:
    torch.manual_seed(0)
    space = convert(UNet(), torch.rand(1, 3, 16, 16))
    assert len(space.groups) == 12 and "up.0.width" in space.groups


def test_what_is_not_installed_or_fails_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> tuple[nn.Module, torch.Tensor]:
        raise ImportError("a_library")

    given = {"missing": missing, "nothing": lambda: (nn.ReLU(), torch.rand(2, 3))}
    monkeypatch.setattr("scripts.bench.given_models.MODELS", {**MODELS, **given})
    rows = [
        {"model": name, "tool": tool} | one(name, tool, 1) for name in given for tool in ("raynas", "torch-pruning")
    ]
    text = report(rows).splitlines()
    assert text[4].endswith("| not installed |") and text[5].endswith("| FAILED |")
    assert any(line.startswith("- nothing: nothing in ReLU can vary") for line in text)
    assert "| missing | not installed |" in text


def test_tables_tell_right_from_wrong_networks() -> None:
    right = {"decisions": 3, "seconds": 0.5, "samples": 1, "ran": 1, "smallest": 0.3, "gap": 1e-9}
    rows = [{"model": "a", "tool": "torch-pruning"} | right, {"model": "b", "tool": "torch-pruning"} | right]
    rows[1]["gap"] = 0.5
    rows += [{"model": "c", "tool": "torch-pruning", "reason": "IndexError: list index out of range"}]
    text = report(rows).splitlines()
    assert (
        "| a | 3 (0.5), 1 of 1 ran, 30%, right |" in text and "| b | 3 (0.5), 1 of 1 ran, 30%, WRONG by 5e-01 |" in text
    )
    assert "| c | no: IndexError: list index out of range |" in text
    assert "| torch-pruning | 3 | 1 | 1 | 1 | 0 | 0 | 3 / 0 |" in text


def test_it_runs_in_processes_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--models", "MLP", "--tools", "raynas", "--members", "1", "--results", str(tmp_path)]
    main(command)
    told = capsys.readouterr().out
    (row,) = read(tmp_path / "convert_models.jsonl")
    assert row["passed"] == dict.fromkeys((*CHECKS, *CLOSE_CHECKS), 1)
    main(command)
    assert capsys.readouterr().out == told == (tmp_path / "convert_models.md").read_text()
    assert read(tmp_path / "convert_models.jsonl") == [row]
    main([*command[:2], "MLP", "1-D CNN", *command[2:], "--limit", "0.01"])
    assert read(tmp_path / "convert_models.jsonl")[1]["reason"] == "not within 0.01 s"
