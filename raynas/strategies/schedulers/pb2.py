"""Population based bandits: PBT whose hyperparameters come from a Gaussian process, and whose architectures mutate.

Parker-Holder, Nguyen and Roberts, "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits"
(NeurIPS 2020, arXiv:2002.02518), as Tune has it. The process knows nothing of architectures: they are mutated as in
``PopulationBasedTraining``, which also says why this is no ``Strategy``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers.pb2 import PB2 as TunePB2

from raynas.core.decision import Real
from raynas.core.goal import Objective
from raynas.core.joint_space import JointSpace
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.metrics import METRICS
from raynas.strategies.schedulers.pbt import Explore, PopulationBasedTraining


@dataclass(frozen=True, kw_only=True)
class PopulationBasedBandits:
    """Settings of PB2 over architectures and continuous hyperparameters.

    Every ``interval`` epochs, a trial among the worst takes over the checkpoint of one among the best, with the
    continuous hyperparameters that promise the largest gain until the next look, and a mutated architecture.

    Tune's process works on a linear scale, also for a ``tune.loguniform``: search the exponent where that matters.
    It draws from numpy's global generator.

    Args:
        interval: epochs between two looks at a trial; at least 1.
        quantile: share of the population that counts as worst, and as best; above 0 and at most 0.5.
        mutation_prob: how likely the architecture is mutated; in [0, 1].
        synchronous: whether all trials wait for each other before each exploit.
    """

    interval: int = 1
    quantile: float = 0.25
    mutation_prob: float = 1.0
    synchronous: bool = False

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"PopulationBasedBandits needs interval >= 1, got {self.interval}")
        if not 0 < self.quantile <= 0.5:
            raise ValueError(f"PopulationBasedBandits needs 0 < quantile <= 0.5, got {self.quantile}")
        if not 0 <= self.mutation_prob <= 1:
            raise ValueError(f"PopulationBasedBandits needs mutation_prob in [0, 1], got {self.mutation_prob}")

    def param_space(self, space: SearchSpace, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """The ``param_space`` of a ``tune.Tuner``, from which Tune draws the first population.

        Args:
            space: what to search.
            hyperparameters: Tune domains and constants searched jointly.
        """
        return {"arch": space.param_space(), **hyperparameters}

    def scheduler(
        self,
        space: SearchSpace,
        objective: str | Objective = "accuracy",
        *,
        hyperparameters: Mapping[str, Any],
        seed: int = 0,
    ) -> TunePB2:
        """A fresh scheduler for a ``tune.Tuner`` of the user's own; Tune allows no searcher beside it.

        Args:
            space: what to search.
            objective: what says which trials are best.
            hyperparameters: Tune domains searched jointly; those that are not continuous keep the value that they were
                drawn with, or take that of the trial that is taken over.
            seed: of the mutations.

        Raises:
            SpaceError: if no hyperparameter is continuous.
        """
        objective = Objective.parse(objective, METRICS)
        architectural = {decision.name for decision in space.decisions}
        joint = JointSpace(space, hyperparameters)
        own = [d for d in joint.decisions if d.name not in architectural and isinstance(d, Real)]
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
        """Fresh parts for a ``tune.Tuner`` of the user's own.

        Args:
            space: what to search.
            population_size: how many trials; at least 2.
            scheduler: further arguments of ``scheduler``.

        Raises:
            ValueError: if the population is smaller.
        """
        if population_size < 2:
            raise ValueError(f"a population needs at least 2 trials, got {population_size}")
        return tune.TuneConfig(
            scheduler=self.scheduler(space, **scheduler), num_samples=population_size, reuse_actors=True
        )


class MutateWithin(Explore):
    """Mutates the architecture, and brings back into its bounds what Tune rounded to single precision.

    Args:
        bounds: the continuous hyperparameters.
        mutation: goes to ``Explore``, with what follows it.
        space: the architectures.
        seed: of all randomness.
    """

    def __init__(self, bounds: Sequence[Real], mutation: PopulationBasedTraining, space: JointSpace, seed: int) -> None:
        super().__init__(mutation, space, seed)
        self.bounds = tuple(bounds)

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        return {**super().__call__(config), **{d.name: min(max(config[d.name], d.low), d.high) for d in self.bounds}}
