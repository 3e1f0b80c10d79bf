"""Population based bandits: PBT whose hyperparameters come from a Gaussian process, and whose architectures mutate.

Parker-Holder, Nguyen and Roberts, "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits"
(NeurIPS 2020, arXiv:2002.02518), as Tune has it. The process does not model architectures: they are mutated as in
``PopulationBasedTraining``, which also says why this is not a ``Strategy``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ray import tune

from raynas.core.decision import Real
from raynas.core.goal import Objective
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, SpaceError
from raynas.metrics import METRICS
from raynas.strategies.schedulers.pbt import Explore, PopulationBasedTraining, population_config

if TYPE_CHECKING:
    from ray.tune.schedulers.pb2 import PB2 as TunePB2


@dataclass(frozen=True, kw_only=True)
class PopulationBasedBandits:
    """Settings of PB2 over architectures and continuous hyperparameters.

    Every ``interval`` epochs, a trial among the worst takes over the checkpoint of one among the best, with the
    continuous hyperparameters that promise the largest gain until the next comparison, and a mutated architecture.

    Tune's process has a linear scale, also for a ``tune.loguniform``: search the exponent if that matters.
    It draws from numpy's global generator.

    Args:
        interval: epochs between two comparisons of a trial; at least 1.
        quantile: share of the population that counts as worst, and as best; above 0 and at most 0.5.
        mutation_prob: probability that the architecture is mutated; in [0, 1].
        synchronous: True if all trials wait for each other before each exploit.
    """

    interval: int = 1
    quantile: float = 0.25
    mutation_prob: float = 1.0
    synchronous: bool = False

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise SettingError(f"PopulationBasedBandits needs interval >= 1, got {self.interval}")
        if not 0 < self.quantile <= 0.5:
            raise SettingError(f"PopulationBasedBandits needs 0 < quantile <= 0.5, got {self.quantile}")
        if not 0 <= self.mutation_prob <= 1:
            raise SettingError(f"PopulationBasedBandits needs mutation_prob in [0, 1], got {self.mutation_prob}")

    def param_space(self, space: SearchSpace, hyperparameters: Mapping[str, object]) -> dict[str, Any]:
        """Return the ``param_space`` of a ``tune.Tuner``, from which Tune draws the first population.

        Args:
            space: the space to search.
            hyperparameters: Tune domains and constants searched jointly.
        """
        return {"arch": space.param_space(), **hyperparameters}

    def scheduler(
        self,
        space: SearchSpace,
        objective: str | Objective = "accuracy",
        *,
        hyperparameters: Mapping[str, object],
        seed: int = 0,
    ) -> "TunePB2":
        """Make a fresh scheduler for the user's ``tune.Tuner``; Tune allows no searcher beside it.

        Args:
            space: the space to search.
            objective: the metric by which trials are compared.
            hyperparameters: Tune domains searched jointly; those that are not continuous keep their first value, or
                take that of the trial whose checkpoint is taken over.
            seed: of the mutations.

        Raises:
            SpaceError: if no hyperparameter is continuous.
        """
        from ray.tune.schedulers.pb2 import PB2 as TunePB2  # with scikit-learn and scipy.stats, half a second

        objective = Objective.parse(objective, METRICS)
        architectural = {decision.name for decision in space.decisions}
        joint = JointSpace(space, hyperparameters)
        own = [d for d in joint.decisions if d.name not in architectural and isinstance(d, Real)]
        if nested := [d.name for d in own if d.name not in hyperparameters]:
            raise SpaceError(f"PB2 takes no hyperparameters in nested dicts, as {nested[0]!r} is; use PBT")
        if not own:
            raise SpaceError("PB2 needs a continuous hyperparameter, e.g. {'lr': tune.uniform(0.01, 0.1)}; use PBT")
        mutation = PopulationBasedTraining(mutation_prob=self.mutation_prob)
        return TunePB2(
            time_attr="training_iteration",
            metric=objective.metric,
            mode=objective.mode,
            perturbation_interval=self.interval,
            quantile_fraction=self.quantile,
            hyperparam_bounds={d.name: [d.low, d.high] for d in own},
            custom_explore_fn=MutateWithin(own, mutation, JointSpace(space, {}), seed),
            log_config=False,
            synch=self.synchronous,
        )

    def tune_config(self, space: SearchSpace, *, population_size: int, **scheduler: Any) -> tune.TuneConfig:
        """Make fresh parts for the user's ``tune.Tuner``.

        Args:
            space: the space to search.
            population_size: number of trials; at least 2.
            scheduler: further arguments of ``scheduler``.

        Raises:
            SettingError: if the population is smaller.
        """
        return population_config(partial(self.scheduler, space, **scheduler), population_size)


class MutateWithin(Explore):
    """Mutates the architecture, and clips values to their bounds, as Tune rounds them to single precision.

    Args:
        bounds: the continuous hyperparameters.
        mutation: of ``Explore``, as the following.
        space: the architectures.
        seed: of all randomness.
    """

    def __init__(self, bounds: Sequence[Real], mutation: PopulationBasedTraining, space: JointSpace, seed: int) -> None:
        super().__init__(mutation, space, seed)
        self.bounds = tuple(bounds)

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        own = {d.name: d.member(min(max(config[d.name], d.low), d.high)) for d in self.bounds}
        return {**super().__call__(config), **own}
