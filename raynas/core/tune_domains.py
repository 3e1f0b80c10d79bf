"""Decisions as Tune domains, and Tune domains as decisions."""

from collections.abc import Iterator, Mapping
from typing import Any

from ray import tune
from ray.tune.search import sample

from raynas.core.decision import Categorical, Decision, Integer, Real
from raynas.core.quantized import LogInteger, Quantized
from raynas.errors import SpaceError

INSTEAD: Mapping[str, str] = {
    "randn": "a normal distribution has no bounds; use tune.uniform(mean - 3 * sd, mean + 3 * sd)",
    "sample_from": "nothing is known of the values of a function; use tune.choice, tune.uniform or tune.randint",
    "grid_search": "use tune.choice of the same values, with the strategy GridSearch() to try all of them",
}
"""Domains of Tune's that raynas cannot mutate and encode, and the ones to use instead."""


def domain_of(decision: Decision) -> Any:
    """Return the Tune domain with the options, or the range, of a decision."""
    if isinstance(decision, Quantized):
        return (tune.qloguniform if decision.log else tune.quniform)(decision.low, decision.high, decision.step)
    if isinstance(decision, Real):
        return (tune.loguniform if decision.log else tune.uniform)(decision.low, decision.high)
    if isinstance(decision, Integer) and decision.step == 1:
        return (tune.lograndint if isinstance(decision, LogInteger) else tune.randint)(decision.low, decision.high + 1)
    if isinstance(decision, LogInteger):
        return tune.qlograndint(decision.low, decision.high, decision.step)
    return tune.choice(list(decision.options))


def decision_of(name: str, domain: object) -> Decision:
    """Return the decision with the options, or the range, of a Tune domain, quantized as Tune does.

    Raises:
        SpaceError: if it cannot be mutated and encoded; says what to use instead.
    """
    if is_grid(domain):
        raise _refusal(name, "grid_search")
    if isinstance(domain, sample.Function):
        raise _refusal(name, "sample_from")
    if isinstance(domain, sample.Categorical):
        return Categorical(name, tuple(domain.categories))
    if isinstance(domain, sample.Float | sample.Integer):
        sampler = domain.get_sampler()
        step = sampler.q if isinstance(sampler, sample.Quantized) else None
        scale = sampler.get_sampler() if isinstance(sampler, sample.Quantized) else sampler
        if isinstance(scale, sample.Normal):
            raise _refusal(name, "randn")
        if isinstance(scale, sample.Uniform | sample.LogUniform):
            is_log = isinstance(scale, sample.LogUniform)
            return (
                _real(name, domain, step, is_log)
                if isinstance(domain, sample.Float)
                else _integer(name, domain, step, is_log)
            )
    raise SpaceError(f"hyperparameter {name!r} cannot be searched by raynas as {domain!r}: use tune.choice or a range")


def _real(name: str, domain: sample.Float, step: float | None, is_log: bool) -> Decision:
    if step is None:
        return Real(name, domain.lower, domain.upper, log=is_log)
    low, high = (round(bound / step) * step for bound in (domain.lower, domain.upper))
    return Quantized(name, low, high, log=is_log, step=step)


def _integer(name: str, domain: sample.Integer, q: float | None, is_log: bool) -> Decision:
    step = int(q or 1)
    # The bounds of Tune's ranges are exclusive above, except for those on a grid.
    low, high = -(-domain.lower // step) * step, (domain.upper // step * step if step > 1 else domain.upper - 1)
    return (LogInteger if is_log else Integer)(name, low, high, step=step)


def is_grid(value: object) -> bool:
    """Return whether a value is what ``tune.grid_search`` returns."""
    return isinstance(value, dict) and value.keys() == {"grid_search"}


def _refusal(name: str, domain: str) -> SpaceError:
    return SpaceError(f"hyperparameter {name!r} cannot be searched by raynas as tune.{domain}: {INSTEAD[domain]}")


def leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values in nested dicts by dotted name; a dict of constants is one value, as is a grid."""
    for name, value in values.items():
        if isinstance(value, dict) and not is_grid(value) and holds_domain(value):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def holds_domain(value: object) -> bool:
    """Return whether something is to be decided in a value: a domain, a grid, or a dict with one."""
    if isinstance(value, dict) and not is_grid(value):
        return any(map(holds_domain, value.values()))
    return is_grid(value) or isinstance(value, sample.Domain)
