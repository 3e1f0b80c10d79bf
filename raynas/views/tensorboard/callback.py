"""TensorBoardCallback: TensorBoard logs of any run of Tune that searches architectures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raynas.core.archive import Archive
from raynas.core.goal import Constraints, Objectives
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.metrics import read_goal
from raynas.views.callback import ViewCallback
from raynas.views.recorded_trials import RecordedTrials
from raynas.views.tensorboard.log import TensorBoardLog


class TensorBoardCallback(ViewCallback):
    """Writes TensorBoard logs while Tune runs trials: in ``raynas.search``, and in a ``tune.Tuner`` of your own.

    Beside a searcher of raynas it reads that searcher's archive. Beside any other, or none, it records the trials
    itself, in ``archive.jsonl`` in ``log_dir``; each must have an architecture of the space under "arch" in its config.
    A run that was killed and restored, or repeated by ``raynas.search``, continues its logs.

    Args:
        source: the searcher that Tune has; if it has none of raynas's, the space.
        log_dir: folder for ``tensorboard --logdir``.
        objectives: with a space, what is searched for; see ``raynas.search``.
        constraints: with a space, what must be met.
        baseline: with a space, metrics of what relative constraints refer to.

    Raises:
        SettingError: if an objective or a constraint cannot be read.
    """

    def __init__(
        self,
        source: ArchitectureSearcher | SearchSpace,
        log_dir: str | Path,
        objectives: Objectives = "accuracy",
        constraints: Constraints = (),
        baseline: Mapping[str, float] | None = None,
    ) -> None:
        self._made_of = (source, log_dir, objectives, constraints, baseline)
        self._space, self._log_dir = source if isinstance(source, SearchSpace) else source.space, Path(log_dir)
        complaint = f"the TensorBoard logs in {log_dir} are incomplete"
        if isinstance(source, SearchSpace):
            goal = read_goal(objectives, constraints).against(baseline or {})
            recorded = RecordedTrials(source, goal, self._log_dir / "archive.jsonl")
            super().__init__(recorded, self._log, complaint, recorder=recorded)
        else:
            super().__init__(source, self._log, complaint)

    def _log(self, archive: Archive) -> TensorBoardLog:
        unfinished = frozenset(archive.unfinished())
        return TensorBoardLog(self._log_dir, self._space, n_before=len(archive), unfinished=unfinished)

    def __reduce__(self) -> tuple[Any, ...]:
        # ``Tuner.restore`` makes its callbacks of a pickle; a copy opens no file before Tune calls it.
        return TensorBoardCallback, self._made_of
