"""run_trials(): a search without a cluster."""

from collections.abc import Callable, Mapping

from raynas.core.architecture import Config
from raynas.core.searcher import ArchitectureSearcher


def run_trials(
    searcher: ArchitectureSearcher, evaluate: Callable[[Config], Mapping[str, object]], n_trials: int
) -> list[Config]:
    """Drive a searcher as Tune does, one trial at a time, without a cluster.

    Args:
        searcher: proposes; trials that are still running in it are ended first.
        evaluate: returns the result of a trial's config.
        n_trials: number of trials that the searcher has seen in the end.

    Returns:
        The configs of all its trials, oldest first.
    """
    for trial, record in searcher.archive.unfinished().items():
        searcher.on_trial_complete(trial, dict(evaluate(record["config"])))
    for n in range(len(searcher.archive.events("proposed")), n_trials):
        config = searcher.suggest(f"{n + 1:05d}")
        if not isinstance(config, dict):
            break
        searcher.on_trial_complete(f"{n + 1:05d}", dict(evaluate(config)))
    return [record["config"] for record in searcher.archive.events("proposed")]
