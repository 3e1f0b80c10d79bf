"""A funnel from the command line, from its stages to its report."""

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raynas.cli.search_run import SearchRun
from raynas.cli.terminal import Interrupted, say, shown
from raynas.core.architecture import Architecture
from raynas.core.result import SearchResult
from raynas.funnels import FunnelResult, funnel
from raynas.funnels.report import PLOT, TEXT, as_text, notes
from raynas.strategies import RandomSearch
from raynas.views.report import Summary, best_or_reason


@dataclass
class FunnelRun(SearchRun):
    """The steps of ``raynas search --funnel``; the result of its search is that of the last stage."""

    _found: FunnelResult | None = field(init=False, default=None)

    def search(self) -> SearchResult:
        """Let all stages run, and keep what is best.

        Raises:
            Interrupted: if one was.
            RaynasError: if a stage leaves nothing, or a file cannot be written.
        """
        options, run = self.command.search, self.command.run
        self._found = found = funnel(
            self.space,
            self.command.stages,
            self.command.strategy,
            objectives=options.objectives,
            constraints=options.constraints,
            metrics=self.command.metrics,
            seed=options.seed,
            baseline=options.baseline,
            max_concurrent=run.max_concurrent,
            generation_size=options.generation_size,
            max_trial_seconds=run.max_trial_seconds,
            retry_failed=run.retry_failed,
            on_change=run.on_change,  # type: ignore[arg-type]  # checked by RunOptions
            max_failures_in_a_row=run.max_failures_in_a_row,
            progress=run.progress,
            tensorboard=run.tensorboard,
            trackers=run.trackers,
            leave_report=False,
            run_config=self._run_config(self.path.name),
        )
        if found.interrupted:
            at = found.stages[-1]
            n = max(at.stage.n if at.number == 1 else at.n_candidates, len(at.result.evaluations))
            done = f"{len(at.result.evaluations)} of {n} trials of stage {at.number} of {at.n_stages} are done"
            raise Interrupted(done)
        self._keep(found.last)
        say(f"\n{as_text(found)}", self.console)
        return found.last

    @property
    def _added(self) -> str:
        return "After the funnel comes random search with as many epochs"

    def random(self, result: SearchResult) -> SearchResult | None:
        """Random search at the last stage's fidelity, with as many epochs as all stages together.

        Raises:
            Interrupted: if it was.
        """
        if not self.command.report.compare_random or best_or_reason(result)[0] is None:
            return None
        n_trials = self._n_affordable
        say(f"\nFor comparison, random search: what all stages cost is {n_trials} trials of the last", self.console)
        strategy = RandomSearch(early_stopping=self.command.stages[-1].early_stopping)
        return self._whole(self._search(strategy, f"{self.path.name}/random", n_trials), "of random search ", n_trials)

    @property
    def earlier(self) -> Mapping[str, Mapping[Architecture, float]]:
        """Scores of the stages before the last, larger is better, by name."""
        stages = self._found.stages[:-1] if self._found else ()
        return {f"stage {at.name}": at.scores for at in stages}

    @property
    def _epochs(self) -> int:
        return sum(at.epochs for at in self._found.stages) if self._found else 0

    @property
    def _n_affordable(self) -> int:
        """Number of trials of the last stage that have as many epochs as all stages together."""
        assert self._found is not None
        full = self._found.last.full
        if not self._epochs or not full:
            return len(self._found.last.evaluations)
        return max(round(self._epochs / (sum(e.fidelity for e in full) / len(full))), 1)

    def summary(
        self,
        result: SearchResult,
        random: SearchResult | None,
        retrained: Mapping[str, float] | None,
        weights: Path | None,
    ) -> Summary:
        """Return the facts about the last stage, with the rank correlations between the stages."""
        assert self._found is not None
        self.notes += notes(self._found)
        summary = super().summary(result, random, retrained, weights)
        comparison = summary.comparison and dataclasses.replace(
            summary.comparison,
            budget="as many epochs as all stages together",
            n_trials=sum(len(at.result.evaluations) for at in self._found.stages if at.stage.trains),
            epochs=self._epochs,
        )
        files = {"stages": shown(self.path / TEXT), "plot of stages": shown(self.path / PLOT), **summary.files}
        return dataclasses.replace(summary, comparison=comparison, files=files)

    def _next_commands(self, summary: Summary) -> dict[str, str]:
        commands = super()._next_commands(summary)
        if "look closer" in commands:  # all stages at once
            commands["look closer"] = f"tensorboard --logdir {shlex.quote(shown(self.path))}"
        return {**commands, "search on": "the same command with larger numbers in --funnel"}
