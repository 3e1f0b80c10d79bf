"""A report as text."""

import io
from dataclasses import replace

from rich.console import Console

from raynas.search_spaces import CNN
from raynas.views.report import render, summarise
from raynas.views.report.tables import readable
from raynas.views.report.text import as_text
from tests.views.report.searches import TRIALS, Trial, searched, summary_of


def test_eighty_columns_but_for_what_is_copied() -> None:
    summary = summary_of(searched(constraints=("latency_ms <= 3", "params <= 4.5e4"), refused=2), searched())
    lines = as_text(summary).splitlines()
    assert all(len(line) <= 80 for line in lines if "/" not in line)
    assert any(line.endswith("/archive.jsonl") for line in lines)  # a path is never broken


def test_what_the_text_says() -> None:
    text = as_text(summary_of(searched(refused=1, repaired=3, constraints="params <= 4.5e4"), searched(TRIALS[:2])))
    for part in (
        "mlp on digits, evolution + asha",
        "Best architecture: trial 00002, 9 epochs",
        "layers.0      width",
        "lr            0.2",
        "test_accuracy  0.93",
        "this search       6              39",
        "NOT better than random search",
        "repeat both with other values of",
        "Pareto front of accuracy against latency_ms",
        "feasible      85.7% of the architectures proposed",
        "repaired      3 proposals were changed to meet the constraints",
        "A note.",
        "tensorboard --logdir",
    ):
        assert part in text, part


def test_the_best_is_beside_the_baseline_and_the_limits() -> None:
    baseline = {"accuracy": 0.875, "latency_ms": 8.0, "params": 64_000.0}
    text = as_text(summary_of(searched(constraints="latency_ms <= 0.5 * baseline", baseline=baseline)))
    rows = [line.split() for line in text.splitlines()]
    assert ["best", "baseline", "limit"] in rows
    assert ["accuracy", "0.95", "0.875"] in rows
    assert ["latency_ms", "4", "ms", "8", "ms", "<=", "4"] in rows
    assert ["baseline", "0.875", "8", "ms", "64", "k"] in rows and ["limit", "<=", "4"] in rows
    assert "baseline" not in as_text(summary_of(searched()))


def test_an_interrupted_search_says_so_first() -> None:
    lines = as_text(summary_of(searched(interrupted=True))).splitlines()
    assert lines[3] == "Interrupted: what follows is what the search found so far"
    assert "Interrupted" not in as_text(summary_of(searched()))


def test_a_search_without_a_result_says_why() -> None:
    text = as_text(summary_of(searched([("failed", 0, 0.0, 0.0, 0.0)])))
    assert "No architecture was found" in text and "it broke" in text


def test_a_long_front_is_cut() -> None:
    trials: list[Trial] = [("finished", 9, 0.5 + i / 100, 1.0 + i, 10.0) for i in range(12)]
    text = as_text(summary_of(searched(trials)))
    assert "and 4 more, in summary.json" in text


def test_markup_in_names_is_text() -> None:
    summary = summarise(searched(), title="[bold]a[/bold]", notes=["[red]b[/red]"])
    assert "[bold]a[/bold]" in as_text(summary) and "[red]b[/red]" in as_text(summary)


def test_a_terminal_gets_colours() -> None:
    out = io.StringIO()
    console = Console(width=80, force_terminal=True, file=out)
    render(summary_of(searched()), console)
    assert "\x1b[" in out.getvalue()


def test_decisions_stand_by_parts_of_the_network() -> None:
    space = CNN(min_layers=2, max_layers=2, n_strides=1)
    arch = next(space.enumerate())
    assert [part for part, _ in readable(arch)] == ["n_layers", "layers.0", "layers.1"]
    assert readable(arch)[1][1] == "op conv, filters 16, kernel 3, activation relu, dropout 0.0"


def test_long_names_of_files_keep_their_distance() -> None:
    summary = replace(summary_of(searched()), files={"accelerator_latency_ms plot": "/plots/a.png", "archive": "/a"})
    lines = as_text(summary).splitlines()
    assert "  accelerator_latency_ms plot  /plots/a.png" in lines
    assert "  archive                      /a" in lines
