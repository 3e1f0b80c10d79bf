"""search_in_bulk(): a search whose architectures are scored by a pool of actors, a batch at a time."""

from collections.abc import Callable, Mapping, Sequence

from ray import tune

from raynas.core.architecture import Config
from raynas.core.archive import Archive
from raynas.core.outcome import Result
from raynas.core.searcher import ArchitectureSearcher
from raynas.errors import RaynasError
from raynas.run.actor_pool import ActorPool
from raynas.run.failure_streak import FailureStreak
from raynas.run.lost_trials import full_disk_error


def search_in_bulk(
    searcher: ArchitectureSearcher,
    pool: ActorPool,
    *,
    num_samples: int,
    bulk_size: int,
    callbacks: Sequence[tune.Callback] = (),
    check: Callable[[Result], RaynasError | None] = lambda result: None,
    streak: FailureStreak | None = None,
) -> None:
    """Let a searcher search, a batch at a time: nothing of a batch is observed before all of it is proposed.

    Batches are observed in the order of proposal, so a search depends neither on the number of actors nor on which is
    faster. A search that was killed continues with the batch it was at, and ends like one that was not.

    Args:
        searcher: proposes and records; already replayed.
        pool: scores.
        num_samples: number of architectures that the search has scored in the end, over all sessions.
        bulk_size: number of proposals in a batch; a strategy that waits for results makes a batch smaller.
        callbacks: Tune's; their ``on_step_begin`` is called before the first score, ``on_step_end`` after each, and
            ``on_experiment_end`` after all.
        check: returns the error that a result ends the search with, if any.
        streak: says when enough failed in a row; by default never.

    Raises:
        RaynasError: if the check returns it, or a disk is full.
    """
    iteration = 0
    streak = streak or FailureStreak(None)
    for callback in callbacks:
        callback.on_step_begin(iteration, [])
    try:
        while not streak.verdict and (batch := _next_batch(searcher, num_samples, bulk_size)):
            for trial, result in zip(batch, pool.results(batch.values()), strict=True):
                if failure := check(result):
                    raise failure
                if result.get("out_of_disk"):
                    raise full_disk_error(trial, result["error"])
                searcher.on_trial_complete(trial, result)
                if evaluation := searcher.evaluation_of(trial):
                    streak.add(evaluation)
                if streak.verdict:
                    break
                for callback in callbacks:
                    callback.on_step_end(iteration, [])
                iteration += 1
    except KeyboardInterrupt:
        pass
    finally:
        for callback in callbacks:
            callback.on_experiment_end([])


def _next_batch(searcher: ArchitectureSearcher, num_samples: int, bulk_size: int) -> dict[str, Config]:
    """Return the configs to score next, by trial."""
    archive = searcher.archive
    batch = {trial: searcher.config_of(record) for trial, record in archive.unfinished().items()}
    if batch and _is_begun(archive, batch):
        return batch
    n_left = num_samples - len(archive.events("proposed"))
    first = archive.last_number + 1
    for number in range(first, first + min(bulk_size - len(batch), n_left)):
        trial = f"{number:05d}"
        config = searcher.suggest(trial)
        if not isinstance(config, dict):
            break
        batch[trial] = config
    return batch


def _is_begun(archive: Archive, batch: Mapping[str, Config]) -> bool:
    """Return whether a killed session had scored some of a batch already: then all of it had been proposed."""
    since = 0
    for record in archive:
        since = 0 if record["event"] == "ended" else since + (record["event"] == "proposed")
    return since < len(batch)
