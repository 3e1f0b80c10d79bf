"""A search from the command line, from its options to its report."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ray import tune
from rich.console import Console

from raynas.cli.flags import flags_of
from raynas.cli.from_files import PLACES, typed_flags
from raynas.cli.search_command import SearchCommand
from raynas.cli.search_name import search_title
from raynas.cli.subnets import SubnetSearch
from raynas.cli.terminal import Interrupted, opening, say, shown
from raynas.cli.winner import fitted, train
from raynas.core.architecture import Architecture
from raynas.core.beside import beside
from raynas.core.evaluation import Evaluation
from raynas.core.metric import Metric
from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.data.fit_space import scaled
from raynas.errors import RaynasError, one_line
from raynas.files.inside import refuse_links
from raynas.files.replacing import write_whole
from raynas.files.weights import WEIGHTS
from raynas.metrics import read_goal
from raynas.metrics.latency_predictor import StoredPredictor
from raynas.run.baseline import check_baseline, read_baseline
from raynas.run.best import keep, weights_of
from raynas.run.cluster import start_ray
from raynas.run.file_names import ARCHITECTURE, BEST, OPTIONS
from raynas.run.repeats import Repeats
from raynas.run.report import report_files
from raynas.run.results_folder import results_place, upload_files
from raynas.run.retraining import final_training, folder_for
from raynas.run.search import search
from raynas.strategies import RandomSearch, Strategy
from raynas.trials import TrainedSupernet, Training, TrialSettings
from raynas.views.amounts import epochs
from raynas.views.report import Summary, best_or_reason, plot_name, summarise, write
from raynas.views.report.files import SUPERNET


@dataclass
class SearchRun:
    """The steps of ``raynas search``; each resumes what an earlier run began.

    Args:
        command: the search.
        console: shows what happens.

    Raises:
        OutsideError: if a link in the folder of the search leads out of it.
        RaynasError: if data, space and predictors do not fit together, or the baseline cannot be read.
        ValueError: if there is none that constraints refer to.
    """

    command: SearchCommand
    console: Console
    notes: list[str] = field(default_factory=list)
    space: SearchSpace = field(init=False)
    data: str = field(init=False)
    _scoring: TrialSettings = field(init=False)

    def __post_init__(self) -> None:
        self._scoring = self.command.trainable
        refuse_links(self.path)
        self.space, self.data = fitted(self.command.space, self.command.trainable, self.command.given)
        asked = self.command.search
        for metric in self.command.metrics:
            if isinstance(metric, Metric) and isinstance(metric.measure, StoredPredictor):
                say(str(metric.measure.of(self.space)), self.console)
        goal = read_goal(asked.objectives, asked.constraints, self.command.metrics)
        check_baseline(goal, read_baseline(asked.baseline, self.space, asked.hyperparameters, goal))

    @property
    def path(self) -> Path:
        """The folder of this search."""
        return self.command.run.path

    @property
    def title(self) -> str:
        """Space, data and strategy in a line."""
        return search_title(self.command.names, self.data, len(self.command.stages))

    @property
    def earlier(self) -> Mapping[str, Mapping[Architecture, float]]:
        """Scores of earlier stages, larger is better, by name."""
        return {}

    def connect(self) -> None:
        """Connect to the cluster that was asked for.

        Raises:
            RaynasError: if there is none.
        """
        if self.command.run.address is not None:
            start_ray(self.command.run.address)

    def foretell(self) -> None:
        """Say before the search what the comparison with random search adds to it."""
        if self.command.report.compare_random and not isinstance(self.command.strategy, RandomSearch):
            say(f"{self._added} for comparison: --no_compare_random leaves it out", self.console)

    @property
    def _added(self) -> str:
        return f"After the {self.command.search.num_samples} trials come as many of random search"

    def search(self) -> SearchResult:
        """Search, and keep what is best so far.

        Raises:
            Interrupted: if it was.
            RaynasError: if a file cannot be written.
        """
        trained = self._supernet()
        derived = [trained.derived] if trained and trained.derived is not None else []
        asked, repeats = self.command.search, self.command.repeats
        result = self._search(self.command.strategy, self.path.name, asked.num_samples, derived, repeats)
        self._keep(result)
        if result.interrupted:
            write(self.summary(result, None, None, None), self.path, searches={"search": result})
        return self._whole(result, "", self.command.search.num_samples)

    def _keep(self, result: SearchResult) -> None:
        """Write the options, and what is best so far."""
        winner, _ = best_or_reason(result)
        try:
            write_whole(self.path / OPTIONS, self.command.text)
            if winner:
                training = self._final_training(winner)
                weights, origin = weights_of(result, winner), self.command.space.origin
                keep(winner.arch, self.path / BEST, self._final_space, training, weights, origin)
        except OSError as error:
            raise RaynasError(f"cannot write to {self.path}: {error.strerror}; what was searched is kept") from None

    def random(self, result: SearchResult) -> SearchResult | None:
        """Run random search with as many trials as the search had; None if there is nothing to compare.

        Raises:
            Interrupted: if it was.
        """
        if not self.command.report.compare_random or best_or_reason(result)[0] is None:
            return None
        if isinstance(self.command.strategy, RandomSearch):
            self.notes.append("The strategy is random search itself, so there was nothing to compare it with.")
            return None
        n_trials = len(result.archive.events("proposed"))
        say(f"\nFor comparison, random search with as many trials ({n_trials})", self.console)
        strategy = RandomSearch(early_stopping=self.command.strategy.early_stopping)
        return self._whole(self._search(strategy, f"{self.path.name}/random", n_trials), "of random search ", n_trials)

    def joined(self, result: SearchResult, random: SearchResult) -> SearchResult:
        """Return the result with what random search found as candidates: it was paid for.

        Raises:
            RaynasError: if a file cannot be written.
        """
        joined = beside(result, random)
        self._keep(joined)
        return joined

    def _supernet(self) -> TrainedSupernet | None:
        """Return the shared weights, trained if need be; None where architectures are scored without."""
        recipe, run = self.command.trainable, self.command.run
        if not isinstance(recipe, SubnetSearch):
            return None
        if recipe.supernet is None:
            say(f"First, shared weights: {self.command.names['method']}, {epochs(recipe.epochs)}", self.console)
        run_config = self._run_config(f"{self.path.name}/{SUPERNET}")
        options = self.command.search
        trained = recipe.trained(
            self.space,
            run_config,
            read_goal(options.objectives, options.constraints, self.command.metrics),
            baseline=options.baseline,
            progress=run.progress,
            tensorboard=run.tensorboard,
        )
        self._scoring = recipe.subnets(trained)
        self.notes.append(
            "Accuracy in the search is that of weights inherited from a supernet: it ranks architectures, and is not "
            "what they reach when trained on their own."
        )
        return trained

    def _search(
        self,
        strategy: Strategy,
        name: str,
        num_samples: int,
        first: Sequence[Architecture] = (),
        repeats: Repeats | None = None,
    ) -> SearchResult:
        options, run = self.command.search, self.command.run
        return search(
            self.space,
            self._scoring,
            strategy,
            objectives=options.objectives,
            constraints=options.constraints,
            metrics=self.command.metrics,
            num_samples=num_samples,
            seed=options.seed,
            hyperparameters=options.hyperparameters or None,
            baseline=options.baseline,
            points_to_evaluate=first,
            warm_start=options.warm_start if name == self.path.name else (),
            max_concurrent=run.max_concurrent,
            generation_size=options.generation_size,
            max_trial_seconds=run.max_trial_seconds,
            retry_failed=run.retry_failed,
            on_change=run.on_change,  # type: ignore[arg-type]  # checked by RunOptions
            max_failures_in_a_row=run.max_failures_in_a_row,
            tolerance=options.tolerance,
            repeats=repeats,
            progress=run.progress,
            tensorboard=run.tensorboard,
            trackers=run.trackers,
            leave_report="live" if name == self.path.name else False,
            run_config=self._run_config(name),
        )

    def _run_config(self, name: str) -> tune.RunConfig:
        return tune.RunConfig(name=name, storage_path=self.command.run.storage_path)

    def upload(self) -> None:
        """Copy the report, and what else was written after the search, to the bucket if there is one."""
        upload_files(results_place(self._run_config(self.path.name), ""))

    def _whole(self, result: SearchResult, what: str, num_samples: int) -> SearchResult:
        if result.interrupted:
            raise Interrupted(f"{len(result.evaluations)} of {num_samples} trials {what}are done")
        return result

    # --- the winner --------------------------------------------------------------------------------------------------

    @property
    def _final_space(self) -> SearchSpace:
        return scaled(self.space, self.command.retrain.space if self.command.retrain else {})

    def _final_training(self, winner: Evaluation) -> Training | None:
        """Return the settings of the winner's training: those of the search, its hyperparameters, more epochs."""
        if not isinstance(self.command.trainable, Training) or self.command.retrain is None:
            return None
        training = final_training(self.command.trainable, winner, self.command.retrain.epochs)
        return dataclasses.replace(training, data=self.data)

    def retrain(self, result: SearchResult) -> tuple[Mapping[str, float] | None, Path | None]:
        """Train the winner to its end; return its metrics and the folder of its weights."""
        winner, _ = best_or_reason(result)
        training = self._final_training(winner) if winner else None
        if winner is None or training is None or not (self.command.retrain and self.command.retrain.epochs):
            return None, None
        folder = folder_for(self.path / BEST, winner.arch, self._final_space, training)
        try:
            return train(self._final_space, winner.arch, training, folder, self.console), folder
        except RaynasError as error:
            self.notes.append(f"The winner could not be trained to its end: {one_line(error)}")
            return None, None

    # --- the report --------------------------------------------------------------------------------------------------

    def summary(
        self,
        result: SearchResult,
        random: SearchResult | None,
        retrained: Mapping[str, float] | None,
        weights: Path | None,
    ) -> Summary:
        """Return the facts, with the paths of all files and the next commands."""
        summary = summarise(result, title=self.title, random=random, retrained=retrained, notes=self.notes)
        files = report_files(result, self.path, summary) | {"options": self.path / OPTIONS}
        files |= {"final weights": weights / WEIGHTS} if weights else {}
        places = {name: shown(path) for name, path in files.items()}
        return dataclasses.replace(summary, files=places, commands=self._next_commands(summary))

    def _next_commands(self, summary: Summary) -> dict[str, str]:
        commands = {}
        if self.command.run.tensorboard:
            commands["look closer"] = f"tensorboard --logdir {shlex.quote(shown(self.path / 'tensorboard'))}"
        if summary.best and self.command.retrain:
            directory = str(getattr(self.command.trainable, "data_dir", PLACES["trainable.data_dir"]))
            own = typed_flags(flags_of(self.command.space.origin))
            own += ["--data", self.data] if ":" in self.data else []
            if directory != PLACES["trainable.data_dir"]:
                own += ["--trainable.data_dir", directory]
            file, epochs = shown(self.path / BEST / ARCHITECTURE), 4 * (self.command.retrain.epochs or 25)
            commands["train longer"] = shlex.join(["raynas", "retrain", file, *own, "--epochs", str(epochs)])
        if summary.interrupted:
            commands["continue"] = "the same command"
        elif summary.has_only_failures:
            commands["try again"] = "the same command with --retry_failed, once the reason is mended"
        elif not summary.ended_because:
            commands["search on"] = f"the same command with --num_samples {2 * self.command.search.num_samples}"
        for other, front in summary.fronts.items():
            if front:
                return {**commands, "see the front": opening(shown(self.path / plot_name(other)))}
        return commands
