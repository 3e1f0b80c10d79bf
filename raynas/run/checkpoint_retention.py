"""KeepBest: a Tune callback that keeps few checkpoints, so that long searches do not fill the disk.

Tune's own ``num_to_keep`` writes the whole state of the experiment every time it deletes one.
"""

from ray import tune
from ray.tune.experiment import Trial

from raynas.core.evaluation import Evaluation
from raynas.core.final_metrics import limits_at_end
from raynas.core.searcher import ArchitectureSearcher
from raynas.run.checkpoints import Checkpoints

N_BEST = 3
"""Number of trials that keep their checkpoints after their end."""

N_SPARE = 7
"""Number of those besides, where the best may turn out to break a limit when they are measured at the end."""


class KeepBest(tune.Callback):
    """Keeps the two newest checkpoints of a running trial, and those of the ``n_best`` trials that ended.

    Two, because the newest can be ahead of the archive, or half-written, when the search is killed.

    Args:
        searcher: knows the evaluations and their order.
        checkpoints: those of the trials.
        n_best: number of trials that keep theirs; by default ``N_BEST``, and ``N_SPARE`` more where a limit is measured
            at the end. With several objectives the best in the first keeps its own besides.
    """

    def __init__(
        self,
        searcher: ArchitectureSearcher,
        checkpoints: Checkpoints,
        n_best: int | None = None,
        *,
        n_repeated: int = 0,
    ) -> None:
        self._searcher = searcher
        self._checkpoints = checkpoints
        self._n_best = n_best or max(N_BEST, n_repeated) + (N_SPARE if limits_at_end(searcher.goal) else 0)
        finished = [e for e in searcher.archive.evaluations if e.status == "finished"]
        self._best = self._best_of(finished)

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: tune.Checkpoint, **info: object
    ) -> None:
        """Delete the older checkpoints of a running trial."""
        self._checkpoints.thin(trial.trial_id, checkpoint)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Rank the trial, and delete the checkpoints of those that are no longer among the best."""
        evaluation = self._searcher.evaluation_of(trial.trial_id)
        if evaluation is None:
            return
        candidates = [*self._best, evaluation] if evaluation.status == "finished" else self._best
        self._best = self._best_of(candidates)
        for loser in {e.trial for e in [*candidates, evaluation]} - {e.trial for e in self._best}:
            self._checkpoints.drop(loser)

    def _best_of(self, candidates: list[Evaluation]) -> list[Evaluation]:
        """Return those that keep their checkpoints, the one that ``SearchResult.best`` returns among them.

        As the best rises, its noise leaves out the worst of those that were within it: each that is the cheapest of all
        that are as good may become the winner.
        """
        goal = self._searcher.goal
        best = goal.sort(candidates)[: self._n_best]
        if len(goal.objectives) > 1:
            return best + [e for e in goal.pareto_front(candidates)[:1] if e not in best]
        near, found = goal.near_ties(candidates), [*best]
        for n, e in enumerate(near):
            if e not in found and not any(goal.scores(cheaper) >= goal.scores(e) for cheaper in near[:n]):
                found.append(e)
        return found

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Delete the checkpoints of a failed trial; one that was lost continues from them."""
        if self._searcher.evaluation_of(trial.trial_id):
            self._checkpoints.drop(trial.trial_id)
