"""Proposal: an architecture that waits for a result from outside, and the settings of trials that do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ray import tune

from raynas.core.architecture import Architecture, Config
from raynas.core.archive import Archive
from raynas.core.metric import Needs
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.metrics import Metrics
from raynas.trials.settings import TrialSettings


@dataclass(frozen=True)
class Outside(TrialSettings):
    """Scores that come from outside, by ``Study.observe``."""

    measures = frozenset[Needs](("shapes", "weights", "device"))

    def trainable(self, space: SearchSpace, metrics: Metrics = ()) -> type[tune.Trainable]:
        """Refuse.

        Raises:
            RaynasError: always.
        """
        raise RaynasError("the scores of this search come from outside: nothing here can evaluate an architecture")


@dataclass(frozen=True)
class Proposal:
    """An architecture to evaluate.

    Args:
        trial: the name to report its result by.
        config: the architecture under "arch", hyperparameters beside it.
        costs: metrics that were measured already, since a constraint limits them.
        outside: whether somebody else than the strategy proposed it.
    """

    trial: str
    config: Config
    costs: Mapping[str, float] = field(default_factory=dict)
    outside: bool = False

    @property
    def arch(self) -> Architecture:
        """The architecture."""
        return Architecture.from_config(self.config)

    @classmethod
    def of(cls, archive: Archive, trial: str) -> "Proposal":
        """Return the proposal of an open trial."""
        record = archive.unfinished()[trial]
        return cls(trial, record["config"], dict(record["costs"]), bool(record.get("outside", False)))
