"""The two stages of ``--trainable subnet``: shared weights are trained, then their subnets are searched."""

from dataclasses import dataclass, fields

from ray import tune

from raynas.core.cost_limits import is_counted
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.run.baseline import Baseline
from raynas.run.train_supernet import train_supernet
from raynas.trials import Subnet, SupernetTraining, TrainedSupernet
from raynas.validate import require_whole


@dataclass(frozen=True, kw_only=True)
class SubnetSearch(SupernetTraining):
    """Train weights that all networks share, then score each with these.

    Args:
        supernet: folder of shared weights that are trained already; none trains them first.
        bulk: architectures proposed at a time, which a few long-lived actors score; 0 for a Tune trial each.
    """

    supernet: str | None = None
    bulk: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("bulk", self.bulk, 0)

    def trained(
        self,
        space: SearchSpace,
        run_config: tune.RunConfig,
        goal: Goal,
        *,
        baseline: Baseline | None = None,
        progress: bool,
        tensorboard: bool,
    ) -> TrainedSupernet:
        """Return the shared weights, trained as far as they are not yet.

        Args:
            space: the space of the networks.
            run_config: names the folder of the training.
            goal: of the search that follows; its hard limits on what is counted hold while weights are trained.
            baseline: what relative limits refer to.
            progress: whether to show a live table.
            tensorboard: whether to write TensorBoard logs.

        Raises:
            RaynasError: if they cannot be read or trained.
            KeyboardInterrupt: if the training was interrupted.
        """
        if self.supernet is not None:
            return TrainedSupernet.load(self.supernet, space)
        settings = SupernetTraining(**{f.name: getattr(self, f.name) for f in fields(SupernetTraining)})
        return train_supernet(
            space,
            settings,
            constraints=[constraint for constraint in goal.hard if is_counted(constraint.metric, goal)],
            metrics=[goal.metrics[name] for name in goal.watched],
            baseline=baseline,
            progress=progress,
            tensorboard=tensorboard,
            run_config=run_config,
        )

    def subnets(self, trained: TrainedSupernet) -> Subnet:
        """Return the settings that score subnets."""
        own = ("calibration_batches", "seed", "device", "gpus", "n_threads", "latency_threads", "bulk")
        return Subnet(supernet=trained, **{name: getattr(self, name) for name in ("data", "data_dir", *own)})
