"""Study: a search whose architectures are evaluated elsewhere; any process asks it for proposals and reports results.

The interface that the field calls ask-and-tell (Collette et al., "Object-oriented programming of optimizers", 2010),
on an archive. Every call holds the archive for as long as it takes, so that several processes share one search.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ray.tune.search import Searcher

from raynas.core.archive import Archive, evaluation_of
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Constraints, Objectives
from raynas.core.result import SearchResult
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.metrics import Metrics
from raynas.run.baseline import Baseline
from raynas.run.feasibility import check_feasible
from raynas.run.file_names import ARCHIVE
from raynas.run.identity import Identity
from raynas.run.observation import checked_metrics, member, open_trial
from raynas.run.plan import SearchPlan
from raynas.run.proposal import Outside, Proposal
from raynas.run.results_folder import open_archive
from raynas.run.run_settings import RunSettings
from raynas.run.session import start_session
from raynas.run.so_far import is_open
from raynas.run.warm_start import import_evaluations
from raynas.seeds import seed_of
from raynas.strategies import Strategy


class Study:
    """A search that proposes architectures and learns from results which the caller finds however it likes.

    ::

        study = raynas.Study(space, "results/mine", objectives="accuracy", constraints="params <= 1e5")
        while proposals := study.propose(4):
            for proposal in proposals:
                study.observe(proposal.trial, {"accuracy": train(space.build(proposal.arch))})
        print(study.result().best())

    The folder holds the archive, and nothing else is state: another process that makes a study of the same folder takes
    part in the same search, at the same time too, and a process that ends loses nothing. ``raynas.search`` continues
    such a folder, and a study continues that of ``raynas.search``; trials that are open then are run by the former.

    What a strategy proposes next follows from the archive and the seed, whichever process asks. A strategy that would
    have to make all earlier proposals again for that (``needs_no_replay`` is False) does so in the first call of a
    process, and after calls of others.

    Args:
        space: the space to search.
        path: the folder; made if missing.
        strategy: default ``ByBudget()``; without early stopping, since nothing reports before the end.
        objectives: see ``raynas.search``, as for all that follow.
        constraints: limits; those on costs are checked before an architecture is proposed.
        metrics: metrics of your own that objectives and constraints may name.
        num_samples: number of proposals in the end; a larger number extends the search.
        seed: of the strategy.
        hyperparameters: Tune domains searched jointly.
        baseline: what relative constraints refer to; an architecture is proposed first.
        points_to_evaluate: architectures to propose first.
        warm_start: folders of other searches of this space that the strategy learns from.
        tolerance: difference of the first objective up to which the cheaper network is the best; see ``raynas.search``.
        wait_seconds: time to wait for another process that holds the archive.

    Raises:
        ArchiveError: by every method, if the archive cannot be read or written, or is of another search.
        BusyError: by every method, if another process holds it for longer.
        InfeasibleError: by the first ``propose``, if no architecture meets the constraints.
        ValueError: if an argument cannot be read.
    """

    def __init__(
        self,
        space: SearchSpace,
        path: str | Path,
        strategy: Strategy | None = None,
        *,
        objectives: Objectives = "accuracy",
        constraints: Constraints = (),
        metrics: Metrics = (),
        num_samples: int = 50,
        seed: int = 0,
        hyperparameters: Mapping[str, object] | None = None,
        baseline: Baseline | None = None,
        points_to_evaluate: Sequence[Mapping[str, object]] = (),
        warm_start: Sequence[str | Path] = (),
        tolerance: float | None = None,
        wait_seconds: float = 60.0,
    ) -> None:
        plan = SearchPlan.read(
            space,
            Outside(),
            strategy,
            objectives=objectives,
            constraints=constraints,
            metrics=metrics,
            seed=seed,
            hyperparameters=hyperparameters,
            baseline=baseline,
            points_to_evaluate=points_to_evaluate,
            tolerance=tolerance,
        )
        self.path = Path(path).expanduser().resolve()
        self.ended_because = ""
        """The reason why the last call of ``propose`` returned fewer than were asked for; "" if others are awaited."""
        self._plan = replace(plan, strategy=replace(plan.strategy, early_stopping=None))
        self._run = RunSettings(num_samples=num_samples)
        self._warm_start, self._wait_seconds = tuple(warm_start), wait_seconds
        self._archive: Archive | None = None
        self._identity: Identity | None = None
        self._searcher: ArchitectureSearcher | None = None
        self._n_known, self._is_exact = -1, False
        self._thread_lock = threading.RLock()

    # --- the calls ---------------------------------------------------------------------------------------------------

    def propose(self, n: int = 1) -> list[Proposal]:
        """Return up to ``n`` architectures to evaluate.

        Fewer are returned if the search has its number of proposals or cannot make any (``ended_because`` has the
        reason), or if the strategy waits for results of open trials.
        """
        self.ended_because = ""
        proposals: list[Proposal] = []
        with self._held() as archive:
            n_left = self._run.num_samples - len(archive.events("proposed"))
            if n_left < n:
                self.ended_because = f"all {self._run.num_samples} proposals were made; num_samples extends them"
            searcher = self._current(archive, proposes=True) if min(n, n_left) > 0 else None
            while searcher and len(proposals) < min(n, n_left):
                config = searcher.suggest(trial := f"{archive.last_number + 1:05d}")
                if not isinstance(config, dict):
                    self.ended_because = searcher.ended_because if config == Searcher.FINISHED else ""
                    break
                proposals.append(Proposal.of(archive, trial))
        return proposals

    def add(self, arch: Mapping[str, object]) -> Proposal:
        """Book an architecture that the strategy did not propose, for evaluation, and return its proposal.

        Args:
            arch: the architecture, or a whole config, of the space; without decisions that are not active in it.

        Raises:
            InfeasibleError: if it breaks a hard constraint on a cost.
            SpaceError: if it is no member of the space, or was proposed before.
        """
        with self._held() as archive:
            searcher = self._current(archive)
            searcher.add(trial := f"{archive.last_number + 1:05d}", member(searcher.space, arch))
            return Proposal.of(archive, trial)

    def observe(
        self,
        trial: str | Mapping[str, object],
        metrics: Mapping[str, float] | None = None,
        *,
        fidelity: int = 1,
        error: str = "",
        notes: Mapping[str, str] | None = None,
    ) -> Evaluation:
        """Book the result of a trial, and return its evaluation.

        Args:
            trial: the name in its proposal; or an architecture, or a whole config, that was evaluated elsewhere,
                whether or not it was proposed.
            metrics: finite numbers by name; at least the objectives, unless the trial failed.
            fidelity: number of epochs of training behind them.
            error: the reason, if the trial failed.
            notes: texts to keep with it.

        Raises:
            InfeasibleError: if an architecture breaks a hard constraint on a cost.
            SettingError: if a metric has no name or no finite value, or there is no such open trial.
            SpaceError: if an architecture is no member of the space, or was evaluated before.
            UnreportedMetricError: if an objective is missing.
        """
        result = checked_metrics(metrics or {}, self._plan.goal, fidelity=fidelity, error=error, notes=notes or {})
        with self._held() as archive:
            searcher = self._current(archive)
            if isinstance(trial, str):
                open_trial(archive, trial)
            else:
                trial = self._trial_of(searcher, archive, trial)
            config = archive.unfinished()[trial]["config"]
            searcher.on_trial_complete(trial, result)
            return evaluation_of(archive.events("ended")[-1], config)

    def _trial_of(self, searcher: ArchitectureSearcher, archive: Archive, arch: Mapping[str, object]) -> str:
        """Return the open trial of an architecture, or a new one."""
        point = member(searcher.space, arch)
        proposed = archive.unfinished().items()
        trial = next((t for t, record in proposed if searcher.space.from_config(record["config"]) == point), "")
        if not trial:
            searcher.add(trial := f"{archive.last_number + 1:05d}", point)
        return trial

    @property
    def open(self) -> list[Proposal]:
        """The proposals without a result, oldest first."""
        with self._held() as archive:
            return [Proposal.of(archive, trial) for trial in archive.unfinished()]

    def result(self) -> SearchResult:
        """Return the findings so far."""
        with self._held() as archive:
            return SearchResult(
                space=self._plan.space,
                goal=self._current(archive).goal,
                archive=Archive.load(self.path / ARCHIVE),
                path=self.path,
                ended_because=self.ended_because,
                interrupted=is_open(archive, self._run.num_samples) and not self.ended_because,
            )

    # --- the state ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _held(self) -> Iterator[Archive]:
        """Hold the archive, read what others wrote, and note a session if this is another search than theirs."""
        with self._thread_lock:
            if self._archive is None:
                self._archive = open_archive(self.path, self._wait_seconds)
            else:
                self._archive.reopen()
            try:
                if len(self._archive) != self._n_known:
                    self._searcher = None
                    self._begin(self._archive)
                yield self._archive
                self._n_known = len(self._archive)
            except BaseException:
                self._n_known = -1
                raise
            finally:
                self._archive.close()

    def _begin(self, archive: Archive) -> None:
        """Record a session unless the last one was of this strategy, seed and number of trials too."""
        plan = self._plan.begun(archive, self._run.num_samples)
        figures = plan.figures(archive)
        first = plan.searcher(Archive(), figures)
        if not archive.events("proposed"):
            check_feasible(first, plan.seed)
        identity = self._identity = self._identity or plan.identity(first.space)
        sessions = archive.events("session")
        if sessions:  # evaluations come from outside: how those of another session were made is not known here
            identity = replace(identity, **{name: sessions[-1][name] for name in ("trainable", "code", "data")})
        facts = plan.facts(figures)
        now = {**vars(identity), **facts, "num_samples": self._run.num_samples, "generation_size": None}
        if not sessions or any(sessions[-1].get(name) != value for name, value in now.items()):
            start_session(archive, identity, self._run, facts)
        import_evaluations(archive, self._warm_start, first.space, plan.goal)

    def _current(self, archive: Archive, *, proposes: bool = False) -> ArchitectureSearcher:
        """Return a searcher that knows the archive; if it is to propose, one in the state that follows from that."""
        if self._searcher is not None and (self._is_exact or not proposes):
            return self._searcher
        plan = self._plan.begun(archive, self._run.num_samples)
        searcher = plan.searcher(archive, plan.figures(archive), seed=plan.seed)
        self._is_exact = proposes and not searcher.needs_no_replay
        if not self._is_exact:
            seed = seed_of(plan.seed, "proposal", len(archive)) % 2**32
            searcher = plan.searcher(archive, plan.figures(archive), seed=seed)
        searcher.warm_start((e for e in archive.earlier_evaluations if e.ok), again=True)
        if self._is_exact:
            searcher.replay(archive)
        else:
            searcher.recall(archive)
        if self._is_exact and not searcher.is_faithful:  # so that a replay is faithful from here on
            last = {**archive.events("session")[-1], "warm_start": False}
            archive.append(**{name: value for name, value in last.items() if name != "provenance"})
        self._searcher = searcher
        return searcher
