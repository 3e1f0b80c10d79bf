"""The benchmark of conversion: its checks, at its smallest."""

from pathlib import Path

import pytest
import torch
from torch import nn

from raynas.converting import convert
from scripts.bench.convert_models import CHECKS, CLOSE_CHECKS, main, one, report
from scripts.bench.given_models import MODELS, UNet
from scripts.bench.search_quality import read
from scripts.bench.silenced import output, silenced_output
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
    monkeypatch.setattr("scripts.bench.convert_models.silenced_output", lambda *_: torch.zeros(2, 3))
    wrong = one("MLP", "raynas", 3)
    assert wrong["passed"] == dict.fromkeys((*CHECKS, "trained"), 3) | {"silenced": 0}
    assert "differs by" in wrong["reasons"]["silenced"]


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
