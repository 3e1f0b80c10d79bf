"""Wrong options in one line, and help."""

import re
from pathlib import Path

import pytest

from raynas.cli.describe import describe
from raynas.cli.options import RunOptions
from raynas.cli.tables import TABLES
from raynas.errors import RaynasError, UnknownNameError
from tests.cli.command_lines import search


@pytest.mark.parametrize("option", ["space", "strategy", "early_stopping", "trainable"])
def test_a_wrong_name_lists_the_known_ones(option: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        search(f"--{option}", "nonsense")
    assert all(name in str(caught.value) for name in TABLES[option])


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            ("--strategy", "local", "--strategy.population_size", "3"),
            "Known: --strategy.first_improvement, --strategy.n_i",
        ),
        (("--space", "mlp", "--space.channels", "3"), "option of search space 'mlp'"),
        (("--early_stopping", "none", "--early_stopping.grace_period", "3"), "option of early stopping 'none'"),
        (("--trainable", "function", "--trainable.fn", "a:b", "--data", "digits"), "option of trainable 'function'"),
        (("--trainable", "function", "--trainable.fn", "a:b", "--retrain.epochs", "3"), "unknown option '--retrain.e"),
        (("--num_sample", "3"), "did you mean '--num_samples'"),
        (("--strategy", "evolution", "--strategy.popul", "3"), "did you mean '--strategy.population_size'"),
        (("--hyperparameters.lr.low", "3"), "unknown option"),
        (("--objectives", "accurcy"), "needs a direction"),
        (("--objectives", "max:reward"), "unknown metric 'reward'"),
        (("--constraints", "latency <= 3"), "did you mean 'latency_ms'"),
        (("--constraints", "latency_ms == 3"), "cannot read constraint"),
        (("--trainable.optimizer", "sgdd"), "did you mean 'sgd'"),
        (("--strategy.few", "many"), "--strategy.few takes a whole number, got 'many'"),
        (("--strategy", "optuna", "--strategy.sampler", "x"), "--strategy.sampler takes 'tpe' or 'gp' or 'nsga2'"),
        (("--trainable.lr", "fast"), "--trainable.lr takes a number or none, got 'fast'"),
        (("--strategy", "evolution", "--strategy.population_size", "1"), "population_size >= 2"),
        (("--trainable", "function"), "--trainable.fn is missing"),
        (("--num_samples", "0"), "num_samples must be a whole number of at least 1"),
        (("--seed", "-1"), "seed must be a whole number of at least 0"),
        (("--max_concurrent", "0"), "max_concurrent must be a whole number of at least 1"),
        (("--retrain.epochs", "-1"), "retrain.epochs must be a whole number of at least 0"),
        (("--name", "../elsewhere"), "name must be letters"),
        (("--seed",), "--seed: expected one argument"),
        (("stray",), "nrecognized arguments: stray"),
    ],
)
def test_a_wrong_option_gets_one_line(argv: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError if "at least" in told else (RaynasError, ValueError)) as caught:
        search(*argv)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_tells_of_every_entry(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        search("--help-all")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option, table in TABLES.items():
        assert option == "method" or all(f"  {name} " in text for name in table)
    for part in ("--strategy.few N", "(default: 400)", "--[no_]compare_random", "examples:", "--data, --tr"):
        assert part in text
    assert "``" not in text and "type:" not in text


def test_help_describes_the_common_options_and_names_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        search("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    told, named = text.split("other options (raynas search --help-all describes all):")
    assert text.startswith("usage: raynas search [OPTIONS]\n")
    assert max(map(len, text.partition("examples:")[0].splitlines())) < 80
    assert re.findall(r"^  --(\w+)", told, re.MULTILINE)[:4] == ["data", "space", "model", "strategy"]
    assert "number of epochs (default: 9)" in told and "(default: 400)" not in text
    every = {option.name for option in describe(RunOptions).options} | {"strategy.few", "space.filters", "funnel"}
    assert all(f"--{name}" in text or f"--[no_]{name}" in text for name in every)
    assert "--strategy.few" in named and "--data " not in named.partition("examples:")[0]


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ((), ("(default: 0.3 for digits, 1.0 for other data)", "(default: 0.5 for digits, 0.2 for other data)")),
        (("--data", "digits"), ("your own (default: 0.3)", "validation split (default: 0.5)")),
        (("--data=npz:x.npz",), ("your own (default: 1.0)", "validation split (default: 0.2)")),
    ],
)
def test_help_shows_defaults_that_hold_for_the_data(
    argv: tuple[str, ...], shown: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        search(*argv, "--help-all")
    text = " ".join(capsys.readouterr().out.split())
    assert all(part in text for part in (*shown, "number of epochs (default: 9)"))


def test_help_shows_defaults_that_a_file_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("num_samples: 7\ntrainable: {data: mnist, epochs: 4}\nspace: {kernels: [3, 7]}\n")
    with pytest.raises(SystemExit):
        search("--config", str(file), "--help-all")
    text = " ".join(capsys.readouterr().out.split())
    for part in ("search (default: 7, from the file)", "(default: 4, from the file)", "(default: 3 7, from the file)"):
        assert part in text
    assert "your own (default: 1.0)" in text  # of mnist


def test_help_of_another_entry(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search("--strategy", "local", "--space", "mlp", "--help")
    text = capsys.readouterr().out
    assert "--strategy.first_improvement" in text and "--space.widths" in text
    assert "population_size" not in text
    told = text.partition("other options")[0]  # what was chosen is described
    assert "--strategy.first_improvement" in told and "--space.widths N ..." in told and "--trainable.lr" not in told
