"""Repeats: the best of a search are trained again with other seeds at its end, because one score is partly chance.

The best of many scores is the luckiest as much as the best (the winner's curse), so the first score of an architecture
does not count beside its repeats: only their mean does, with its standard error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynas.core.architecture import Config
from raynas.core.evaluation import Evaluation, metrics_of
from raynas.core.outcome import Result, fidelity_of
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import SettingError
from raynas.metrics import METRICS
from raynas.run.actor_pool import ActorPool
from raynas.run.final_stage import record_each
from raynas.trials.runner import REPORTED, TrialRunner
from raynas.trials.settings import ArchitectureSettings, TrialSettings
from raynas.validate import require_whole

SEED, EPOCHS = "repeat/seed", "repeat/epochs"
"""Entries of the config of a repeat: its seed, and the number of epochs after which it ends."""


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Further trainings of the best at the end of a search.

    Args:
        top: number of architectures that are trained again; at least 1.
        seeds: number of further trainings of each; at least 1, and 2 for a standard error.

    Raises:
        SettingError: if a number is too small.
    """

    top: int = 3
    seeds: int = 3

    def __post_init__(self) -> None:
        for name in ("top", "seeds"):
            require_whole(name, getattr(self, name), 1)

    def check(self, settings: TrialSettings) -> None:
        """Refuse settings whose trials would give the same score again, or whose seed raynas does not set.

        Raises:
            SettingError: if they are such.
        """
        if not (isinstance(settings, ArchitectureSettings) and settings.trains):
            raise SettingError(
                f"repeats train the best again with other seeds, which {type(settings).__name__} does not: leave them "
                "out, or score by Training or a function fn(model, config)"
            )


def repeat_best(
    result: SearchResult,
    settings: TrialSettings,
    repeats: Repeats,
    *,
    workers: int | None = None,
    max_seconds: float | None = None,
) -> None:
    """Train the best of a search that has ended again with other seeds, and record each training.

    Those that broke a hard limit are left out. What earlier sessions trained is not trained again.

    Args:
        result: of the search; its archive is open.
        settings: the way of scoring.
        repeats: which and how often.
        workers: largest number of trainings at a time; None for as many as the cluster has room for.
        max_seconds: time of a training after which it has failed.
    """
    assert isinstance(settings, ArchitectureSettings)
    if due := missing(result, settings, repeats):
        scorer = Repeater(result.space, settings, [o.metric for o in result.goal.objectives])
        with ActorPool(scorer, settings.bundles, workers, max_seconds=max_seconds) as pool:
            record_each(result, "repeated", _trained(due, pool, result.space))


def missing(result: SearchResult, settings: ArchitectureSettings, repeats: Repeats) -> list[tuple[Evaluation, int]]:
    """Return the trainings that are missing: evaluations as they were before any repeat, best first, and seeds."""
    once = [e.as_trained_once for e in result.eligible]
    best = [e for e in result.goal.sort(once) if result.goal.violation(e) == 0][: repeats.top]
    done = {(r["trial"], r["seed"]) for r in result.archive.events("repeated") if not r["error"]}
    seeds = range(settings.seed + 1, settings.seed + 1 + repeats.seeds)
    return [(e, seed) for e in best for seed in seeds if (e.trial, seed) not in done]


def _trained(
    due: Sequence[tuple[Evaluation, int]], pool: ActorPool, space: SearchSpace
) -> Iterator[Mapping[str, object]]:
    configs = ({"arch": e.arch.to_config(), **e.hyperparameters, SEED: seed, EPOCHS: e.fidelity} for e, seed in due)
    for (e, seed), result in zip(due, pool.results(configs), strict=True):
        error = str(result["error"]) if result["failed"] else ""
        metrics = {} if error else {name: v for name, v in metrics_of(result).items() if _is_trained(name, e)}
        yield {"trial": e.trial, "seed": seed, "fidelity": fidelity_of(result), "metrics": metrics, "error": error}


def _is_trained(name: str, evaluation: Evaluation) -> bool:
    """Return whether a metric of a trial is a score of its training: neither a cost of the network nor of the trial."""
    is_cost = name in METRICS and METRICS[name].measure is not None
    return name in evaluation.metrics and name not in REPORTED and not is_cost


class Repeater:
    """Trains the architecture in a config with the seed and for the epochs in it; a ``Scorer`` of an ``ActorPool``.

    Args:
        space: the space of the search.
        settings: of its trials.
        metrics: names of the metrics that every result must hold.
    """

    def __init__(self, space: SearchSpace, settings: ArchitectureSettings, metrics: Sequence[str]) -> None:
        self._runner: TrialRunner[Any] = settings.runner(space, metrics)
        self._runner.costs.counted = ()

    def run(self, config: Config) -> Result:
        """Return the last result of the training; a failure is one too."""
        runner, config = self._runner.with_seed(config[SEED]), dict(config)
        epochs = config.pop(EPOCHS)
        del config[SEED]
        runner.begin(config)
        while True:
            result = runner.step()
            if result["done"] or fidelity_of(result) >= epochs:
                runner.release()
                return result
