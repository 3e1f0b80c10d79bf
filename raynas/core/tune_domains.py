"""Decisions as Tune domains, and Tune domains as decisions."""

from typing import Any

from ray import tune
from ray.tune.search import sample

from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.errors import SpaceError


def domain_of(decision: Decision) -> Any:
    """Return the Tune domain with the options, or the range, of a decision."""
    if isinstance(decision, Real):
        return (tune.loguniform if decision.log else tune.uniform)(decision.low, decision.high)
    if isinstance(decision, Integer):
        return tune.randint(decision.low, decision.high + 1)
    return tune.choice(list(decision.options))


def decision_of(name: str, domain: object) -> Decision:
    """Return the decision with the options, or the range, of a Tune domain.

    Raises:
        SpaceError: if it cannot be mutated and encoded.
    """
    sampler = domain.get_sampler() if isinstance(domain, sample.Domain) else None
    if isinstance(domain, sample.Categorical) and all(isinstance(o, str | int | float) for o in domain.categories):
        return Categorical(name, tuple(domain.categories))
    if isinstance(domain, sample.Integer) and isinstance(sampler, sample.Uniform):
        return Integer(name, domain.lower, domain.upper - 1)
    if isinstance(domain, sample.Float) and isinstance(sampler, sample.Uniform | sample.LogUniform):
        return Real(name, domain.lower, domain.upper, log=isinstance(sampler, sample.LogUniform))
    raise SpaceError(
        f"hyperparameter {name!r} cannot be searched by raynas as {domain!r}: "
        "use tune.choice of strings and numbers, tune.randint, tune.uniform or tune.loguniform"
    )
