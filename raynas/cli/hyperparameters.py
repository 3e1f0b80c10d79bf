"""Hyperparameters to search, written as text: ``loguniform(1e-4, 1e-1)``, ``choice(32, 64)``, or a constant."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.search.sample import Categorical, Float, Integer

from raynas.core.architecture import plain_option
from raynas.errors import RaynasError, UnknownNameError, one_line
from raynas.trials import Training, TrialSettings

DOMAINS: Mapping[str, Callable[..., Any]] = {
    "choice": lambda *options: tune.choice(list(options)),
    "lograndint": tune.lograndint,
    "loguniform": tune.loguniform,
    "qlograndint": tune.qlograndint,
    "qloguniform": tune.qloguniform,
    "qrandint": tune.qrandint,
    "quniform": tune.quniform,
    "randint": tune.randint,
    "uniform": tune.uniform,
}
"""Domains that a hyperparameter can be drawn from, as in ``ray.tune``."""


def parse_hyperparameters(texts: Mapping[str, object], trainable: TrialSettings) -> dict[str, object]:
    """Return Tune domains and constants from texts such as ``loguniform(1e-4, 1e-1)``.

    Their extremes are tried on the settings of the trainable.

    Raises:
        RaynasError: if a text cannot be read.
        ValueError: if the trainable has no such hyperparameter, or a value is out of its range.
    """
    domains = {name: parse_domain(name, text) for name, text in texts.items()}
    if isinstance(trainable, Training):
        for name, domain in domains.items():
            for value in _extremes(domain):
                trainable.with_hyperparameters({name: value})
    return domains


def _extremes(domain: object) -> list[Any]:
    if isinstance(domain, Categorical):
        return list(domain.categories)
    if isinstance(domain, Float | Integer):
        return [domain.lower, domain.upper - (isinstance(domain.lower, int) and isinstance(domain.upper, int))]
    return [domain]


def parse_domain(name: str, text: object) -> object:
    """Return a Tune domain or a constant from a text, which is parsed and never evaluated.

    Raises:
        RaynasError: if it is neither a constant nor one of ``DOMAINS`` of constants.
    """
    if isinstance(text, list):
        return tune.choice([plain_option(name, option) for option in text])  # YAML has no tuples
    if not isinstance(text, str):
        return text
    try:
        domain, arguments = _taken_apart(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise RaynasError(
            f"cannot read hyperparameter {name!r} from {text!r}: write choice(a, b), uniform(low, high), "
            "loguniform(low, high), randint(low, high), with q in front and a step behind for a grid, or a constant"
        ) from None
    if not domain:
        return arguments[0]
    if domain not in DOMAINS:
        raise UnknownNameError(f"domain of hyperparameter {name!r}:", domain, DOMAINS)
    try:
        return DOMAINS[domain](*arguments)
    except (ValueError, TypeError) as error:
        raise RaynasError(f"hyperparameter {name!r} cannot be {text!r}: {one_line(error)}") from None


def _taken_apart(text: str) -> tuple[str, list[Any]]:
    """Return the name of a domain and its arguments; for a constant, "" and the constant."""
    node = ast.parse(text.strip(), mode="eval").body
    if isinstance(node, ast.List):
        return "choice", _constants(node.elts)
    if not isinstance(node, ast.Call):
        return "", [_constant(node)]
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise ValueError(text)
    return node.func.id, _constants(node.args)


def _constants(nodes: Sequence[ast.expr]) -> list[Any]:
    if len(nodes) == 1 and isinstance(nodes[0], ast.List):
        nodes = nodes[0].elts
    return [_constant(node) for node in nodes]


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return node.id
    value = ast.literal_eval(node)
    if isinstance(value, dict | set | bytes | complex):
        raise ValueError(value)
    return plain_option("", value)
