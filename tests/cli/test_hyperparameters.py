"""Hyperparameters as texts, which are parsed and never evaluated."""

from typing import Any

import pytest
from ray.tune.search import sample

from raynas.cli.hyperparameters import parse_domain
from raynas.errors import RaynasError, UnknownNameError
from tests.cli.command_lines import search


def test_hyperparameters() -> None:
    given = ("--hyperparameters.lr", "loguniform(1e-3, 1e-1)", "--hyperparameters.batch_size", "[32, 64]")
    domains = search(*given, "--hyperparameters.momentum", "0.5").search.hyperparameters
    assert isinstance(domains["lr"], sample.Float) and isinstance(domains["lr"].sampler, sample.LogUniform)
    assert domains["batch_size"].categories == [32, 64]
    assert domains["momentum"] == 0.5


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('exit 3')",
        "choice(__import__('os'))",
        "uniform(low=1, high=2)",
        "tune.choice(1, 2)",
        "(lambda: 1)()",
        "{'a': 1}",
        "choice({'a': 1})",
        "choice(1, {2})",
        "1 +",
        "(" * 10_000,
    ],
)
def test_hyperparameters_are_never_evaluated(text: str) -> None:
    with pytest.raises(RaynasError, match="cannot read hyperparameter 'lr'"):
        parse_domain("lr", text)


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        *(("adam", "adam"), ("0.1", 0.1), ("-3", -3), ("'a b'", "a b"), (64, 64), ("True", True), ("None", None)),
        ("(0.9, 0.999)", (0.9, 0.999)),
    ],
)
def test_constant_hyperparameters(text: Any, constant: Any) -> None:
    assert parse_domain("name", text) == constant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("normal(0, 1)", "Known: choice, lograndint, loguniform, qlograndint, .*, randint, uniform"),
        ("loguniform(0, 1)", "hyperparameter 'lr' cannot be"),
        ("uniform(1)", "hyperparameter 'lr' cannot be"),
        ("uniform(-1, 1)", "lr must be"),
        ("choice(0.1, -1)", "lr must be"),
    ],
)
def test_wrong_domains(text: str, told: str) -> None:
    with pytest.raises((RaynasError, ValueError), match=told):
        search("--hyperparameters.lr", text)


def test_options_may_be_none_and_tuples() -> None:
    assert parse_domain("x", "choice(None, (64, 32), 'none')").categories == [None, (64, 32), "none"]  # type: ignore[attr-defined]
    from_file: Any = parse_domain("x", [[64, [32]], None])  # YAML has no tuples
    assert from_file.categories == [(64, (32,)), None]


@pytest.mark.parametrize("text", ["quniform(0, 1, 0.1)", "qrandint(8, 64, 8)", "qloguniform(0.1, 1, 0.1)"])
def test_domains_on_a_grid(text: str) -> None:
    domain: Any = parse_domain("x", text)
    assert isinstance(domain.sampler, sample.Quantized) and domain.sampler.q == float(text[:-1].rpartition(",")[2])


def test_an_unknown_hyperparameter() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lr'"):
        search("--hyperparameters.lrr", "0.1")
