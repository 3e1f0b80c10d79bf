"""JointSpace: a search space and the user's own hyperparameters, searched as one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.search import sample

from raynas.core.architecture import Architecture, Config, Option, plain_option
from raynas.core.decision import Decision
from raynas.core.extended_space import ExtendedSpace
from raynas.core.space import SearchSpace
from raynas.core.tune_domains import decision_of, holds_domain, leaves
from raynas.errors import SpaceError
from raynas.validate import plain_parts


class JointSpace(ExtendedSpace):
    """The decisions of a space beside Tune domains such as ``{"lr": tune.loguniform(1e-4, 1e-1)}``.

    A point of it is an ``Architecture`` that holds the hyperparameters too; ``to_config`` takes them apart again.

    Args:
        space: the architectures.
        hyperparameters: Tune domains and constants by name; dicts of these may nest, and a decision is then named by
            the dotted path.

    Raises:
        SpaceError: if a name is also a decision's, or a domain cannot be mutated and encoded.
    """

    GROUP = "hyperparameters"

    def __init__(self, space: SearchSpace, hyperparameters: Mapping[str, object]) -> None:
        if "arch" in hyperparameters:
            raise SpaceError("hyperparameter 'arch' is where the architecture stands; choose another name")
        super().__init__(space)
        values = dict(leaves(hyperparameters))
        self._own = [decision_of(name, value) for name, value in values.items() if holds_domain(value)]
        self.hyperparameters = _plain(hyperparameters)
        for name, value in hyperparameters.items():
            if not holds_domain(value):
                _check_constant(name, self.hyperparameters[name])
        if both := {decision.name for decision in self.space.decisions} & (values.keys() | hyperparameters.keys()):
            raise SpaceError(f"hyperparameter {min(both)!r} has the name of a decision of {self.space.name}; rename it")

    @property
    def own_decisions(self) -> Sequence[Decision]:
        return self._own

    def around(self, space: SearchSpace) -> "JointSpace":
        return JointSpace(space, self.hyperparameters)

    @property
    def architecture_space(self) -> SearchSpace:
        return self.space

    def architecture(self, point: Architecture) -> Architecture:
        return self.inside(point)

    def param_space(self) -> dict[str, Any]:
        """Return the architecture's domains under "arch", the hyperparameters beside it."""
        return {"arch": self.space.param_space(), **self.hyperparameters}

    def own_options(self, config: Mapping[str, object]) -> dict[str, Any]:
        """Return the hyperparameters to be searched that a config holds, by the names of their decisions."""
        return dict(_taken(self.hyperparameters, config))

    def with_own(self, config: Mapping[str, object], own: Mapping[str, Option]) -> Config:
        """Return a config with other values for hyperparameters, by the names of their decisions."""
        return _filled(config, own)

    def to_config(self, arch: Architecture) -> Config:
        return {"arch": self.architecture(arch).to_config(), **_filled(self.hyperparameters, arch)}

    def from_config(self, config: Mapping[str, object]) -> Architecture:
        return self.canonical({**Architecture.from_config(config), **self.own_options(config)})


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Return domains and constants without numbers of numpy, which neither JSON nor every searcher can hold."""
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, sample.Categorical):
        return tune.choice([plain_option("", option) for option in value.categories])
    return _plain(value) if isinstance(value, dict) else plain_parts(value)


def _filled(values: Mapping[str, Any], point: Mapping[str, Option], prefix: str = "") -> dict[str, Any]:
    """Return nested values with those of a point, which are named by their dotted path, in their place."""
    return {
        name: _filled(value, point, f"{prefix}{name}.")
        if isinstance(value, dict) and f"{prefix}{name}" not in point
        else point.get(f"{prefix}{name}", value)
        for name, value in values.items()
    }


def _taken(values: Mapping[str, Any], config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the options that a config holds where the values hold domains, by dotted name."""
    for name, value in values.items():
        if name in config and isinstance(value, dict) and isinstance(config[name], Mapping):
            yield from _taken(value, config[name], f"{prefix}{name}.")
        elif name in config and holds_domain(value):
            yield f"{prefix}{name}", config[name]


def _check_constant(name: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SpaceError(
            f"hyperparameter {name!r} must be a Tune domain or a constant that JSON can hold: {error}"
        ) from None
