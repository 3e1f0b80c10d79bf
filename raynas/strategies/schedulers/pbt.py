"""Population based training whose explore step changes the architecture too, and keeps the weights.

Jaderberg et al., "Population Based Training of Neural Networks" (2017, arXiv:1711.09846), as Tune has it; the explore
step mutates the architecture as in evolution with inheritance (Real et al. 2017, arXiv:1703.01041).

It is not a ``Strategy`` of ``raynas.search``: a trial of it is a sequence of architectures, where an archive has one
architecture per trial. It is for the user's own ``tune.Tuner``.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining as TunePopulationBasedTraining
from ray.tune.schedulers import TrialScheduler

from raynas.core.architecture import Option
from raynas.core.decision import Decision, Real
from raynas.core.goal import Objective
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, SpaceError
from raynas.metrics import METRICS


@dataclass(frozen=True, kw_only=True)
class PopulationBasedTraining:
    """Settings of population based training over architectures and hyperparameters.

    Every ``interval`` epochs, a trial among the worst takes over the checkpoint of one among the best (exploit), with
    its architecture and hyperparameters changed a little (explore). Trials of ``Training`` then inherit all weights
    that fit (``raynas.nn.inherit_between``) and continue at that epoch::

        pbt = PopulationBasedTraining(interval=2)
        rates = {"lr": tune.loguniform(1e-3, 1e-1)}
        tuner = tune.Tuner(
            Training(data="digits", epochs=20, schedule="constant").trainable(space),
            param_space=pbt.param_space(space, rates),
            tune_config=pbt.tune_config(space, population_size=8, hyperparameters=rates),
        )

    Tune draws the one of the best from Python's global generator.

    Args:
        interval: epochs between two comparisons of a trial; at least 1.
        burn_in: epochs before the first comparison; at least 0.
        quantile: share of the population that counts as worst, and as best; above 0 and at most 0.5.
        mutation_prob: probability that explore mutates the architecture; in [0, 1].
        resample_prob: probability that it draws a new hyperparameter instead of perturbing it; in [0, 1].
        factors: multipliers of continuous hyperparameters, one of which is drawn each time; positive.
        synchronous: True if all trials wait for each other before each exploit.
    """

    interval: int = 1
    burn_in: int = 0
    quantile: float = 0.25
    mutation_prob: float = 1.0
    resample_prob: float = 0.25
    factors: tuple[float, ...] = (0.8, 1.2)
    synchronous: bool = False

    def __post_init__(self) -> None:
        if self.interval < 1 or self.burn_in < 0:
            raise SettingError(
                f"PopulationBasedTraining needs interval >= 1 and burn_in >= 0, got {self.interval} and {self.burn_in}"
            )
        if not 0 < self.quantile <= 0.5:
            raise SettingError(f"PopulationBasedTraining needs 0 < quantile <= 0.5, got {self.quantile}")
        for name in ("mutation_prob", "resample_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"PopulationBasedTraining needs {name} in [0, 1], got {getattr(self, name)}")
        if not self.factors or not all(factor > 0 for factor in self.factors):
            raise SettingError(f"PopulationBasedTraining needs factors above 0, at least one, got {self.factors}")

    def param_space(self, space: SearchSpace, hyperparameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Return the ``param_space`` of a ``tune.Tuner``, from which Tune draws the first population.

        Args:
            space: the space to search.
            hyperparameters: Tune domains and constants searched jointly.
        """
        return {"arch": space.param_space(), **(hyperparameters or {})}

    def explore(
        self, space: SearchSpace, hyperparameters: Mapping[str, object] | None = None, *, seed: int = 0
    ) -> "Explore":
        """Make the explore step, for a scheduler's ``custom_explore_fn``."""
        return Explore(self, JointSpace(space, hyperparameters or {}), seed)

    def scheduler(
        self,
        space: SearchSpace,
        objective: str | Objective = "accuracy",
        *,
        hyperparameters: Mapping[str, object] | None = None,
        seed: int = 0,
    ) -> TunePopulationBasedTraining:
        """Make a fresh scheduler for the user's ``tune.Tuner``; Tune allows no searcher beside it.

        Args:
            space: the space to search.
            objective: the metric by which trials are compared.
            hyperparameters: Tune domains searched jointly; constants stay unchanged.
            seed: of the explore step.

        Raises:
            SpaceError: if a domain cannot be perturbed.
        """
        objective = Objective.parse(objective, METRICS)
        return TunePopulationBasedTraining(
            time_attr="training_iteration",
            metric=objective.metric,
            mode=objective.mode,
            perturbation_interval=self.interval,
            burn_in_period=self.burn_in,
            quantile_fraction=self.quantile,
            custom_explore_fn=self.explore(space, hyperparameters, seed=seed),
            synch=self.synchronous,
        )

    def tune_config(self, space: SearchSpace, *, population_size: int, **scheduler: Any) -> tune.TuneConfig:
        """Make fresh parts for the user's ``tune.Tuner``.

        The cluster runs as many trials of the population at a time as its resources allow, and the others wait at their
        last checkpoint. Tune's ``max_concurrent_trials`` would instead keep them out of the population until the first
        ones are finished, so it stays unset.

        Args:
            space: the space to search.
            population_size: number of trials; at least 2.
            scheduler: further arguments of ``scheduler``.

        Raises:
            SettingError: if the population is smaller.
        """
        return population_config(partial(self.scheduler, space, **scheduler), population_size)


def population_config(make_scheduler: Callable[[], TrialScheduler], population_size: int) -> tune.TuneConfig:
    """Make the parts of a ``tune.Tuner`` for a scheduler of populations.

    Raises:
        SettingError: if the population is smaller than 2.
    """
    if population_size < 2:
        raise SettingError(f"a population needs at least 2 trials, got {population_size}")
    return tune.TuneConfig(scheduler=make_scheduler(), num_samples=population_size, reuse_actors=True)


class Explore:
    """Changes a Tune config a little: one mutation of the architecture, and each hyperparameter one step.

    Args:
        settings: probabilities and factors.
        space: architectures and hyperparameters.
        seed: of all randomness.
    """

    def __init__(self, settings: PopulationBasedTraining, space: JointSpace, seed: int = 0) -> None:
        self.settings = settings
        self.space = space
        self.rng = np.random.default_rng(seed)

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a new config; entries that the space does not know stay unchanged."""
        arch = self.space.space.from_config(config)
        if self.rng.random() < self.settings.mutation_prob:
            with suppress(SpaceError):  # nothing in it has another option
                arch = self.space.space.mutate(arch, self.rng)
        held = self.space.own_options(config)
        own = {d.name: self._step(d, held[d.name]) for d in self.space.decisions if d.name in held}
        return {**self.space.with_own(config, own), "arch": arch.to_config()}

    def _step(self, decision: Decision, value: Option) -> Option:
        """Draw a new value, or multiply a number and move an option to a neighbour; always within the domain."""
        if self.rng.random() < self.settings.resample_prob or not decision.contains(value):
            return decision.sample(self.rng)
        if isinstance(decision, Real):
            factor = self.settings.factors[int(self.rng.integers(len(self.settings.factors)))]
            return decision.member(min(max(float(value) * factor, decision.low), decision.high))
        index = list(decision.options).index(decision.member(value)) + int(self.rng.choice((-1, 1)))
        return decision.options[min(max(index, 0), len(decision.options) - 1)]
