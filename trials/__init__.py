"""Ways of scoring an architecture, one file each."""

# Bare, a folder of the user's with the same name would shadow this one in Ray workers.
if not __name__.startswith("raynas."):
    raise ImportError(f"import raynas.{__name__}: {__name__!r} is a part of raynas, not a top-level package")

from raynas.trials.distillation import Distillation
from raynas.trials.function import Function
from raynas.trials.inherited import Inherited
from raynas.trials.retrain import retrain
from raynas.trials.runner import TrialRunner
from raynas.trials.settings import ArchitectureSettings, TrialSettings
from raynas.trials.subnet import Subnet
from raynas.trials.supernet.trained import TrainedSupernet
from raynas.trials.supernet.training import SupernetDistillation, SupernetTraining
from raynas.trials.tabular import Tabular
from raynas.trials.trainable import ArchitectureTrainable
from raynas.trials.training import Training
from raynas.trials.trial import Trial
from raynas.trials.zero_cost import ZeroCost

TRIALS: dict[str, type[ArchitectureSettings]] = {
    "distil": Distillation,
    "function": Function,
    "subnet": Subnet,
    "tabular": Tabular,
    "train": Training,
    "zero_cost": ZeroCost,
}
"""The settings of each way of scoring, by name."""

__all__ = [
    "TRIALS",
    "ArchitectureSettings",
    "ArchitectureTrainable",
    "Distillation",
    "Function",
    "Inherited",
    "Subnet",
    "SupernetDistillation",
    "SupernetTraining",
    "Tabular",
    "TrainedSupernet",
    "Training",
    "Trial",
    "TrialRunner",
    "TrialSettings",
    "ZeroCost",
    "retrain",
]
