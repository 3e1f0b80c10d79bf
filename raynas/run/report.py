"""The report that a search leaves in its folder: summary, plots, and the best architecture with its weights."""

import contextlib
import dataclasses
import logging
import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from raynas.core.result import SearchResult
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line
from raynas.files.weights import WEIGHTS
from raynas.run.best import keep, weights_of
from raynas.run.file_names import ARCHITECTURE, ARCHIVE, BEST
from raynas.run.retraining import final_training
from raynas.strategies import Strategy
from raynas.trials import Training, TrialSettings
from raynas.views.report import HTML, MARKDOWN, Summary, best_or_reason, plot_name, summarise, write

logger = logging.getLogger(__name__)


MAX_ROWS = 30
"""Number of decisions that are listed before a search."""


def announce(space: SearchSpace, *, progress: bool = True) -> None:
    """Say what varies in a model that was given, before anything of it is searched.

    Args:
        space: the space of the search.
        progress: whether to print it, or only to log it.
    """
    text = space.architecture_space.summary(max_rows=MAX_ROWS)
    if text and progress:
        Console().print(Text(text), soft_wrap=True)
    elif text:
        logger.info("%s", text)


def report(
    result: SearchResult,
    settings: TrialSettings,
    title: str,
    *,
    directory: Path | None = None,
    logs: Path | None = None,
    progress: bool = True,
) -> None:
    """Leave the report, and say where; what goes wrong with it costs a warning, not the result.

    Args:
        result: of the search.
        settings: the way of scoring.
        title: the search in a line.
        directory: the folder of the report; default that of the search.
        logs: the folder of the TensorBoard logs, if there are any.
        progress: whether to say where it is.
    """
    directory = directory or result.path
    try:
        _leave(result, settings, title, directory, logs)
    except Exception as error:
        logger.warning("the report in %s is incomplete: %s", directory, one_line(error))
    n_ended = len(result.evaluations)
    if result.interrupted:
        logger.warning("interrupted after %d trials: the same call continues; results so far: %s", n_ended, directory)
    elif progress:
        Console().print(Text(f"Summary, plots and the best architecture are in {directory}"), soft_wrap=True)


def _leave(result: SearchResult, settings: TrialSettings, title: str, directory: Path, logs: Path | None) -> None:
    winner, _ = best_or_reason(result)
    training: Training | None = None
    if winner:
        with contextlib.suppress(RaynasError):
            training = final_training(settings, winner)
        keep(winner.arch, directory / BEST, result.space, training, weights_of(result, winner))
    summary = summarise(result, title=title)
    files = report_files(result, directory, summary)
    commands = _next_steps(summary, training, has_weights="weights" in files, logs=logs)
    places = {name: str(path) for name, path in files.items()}
    write(
        dataclasses.replace(summary, files=places, commands=commands),
        directory,
        searches={"search": result},
    )


def report_files(result: SearchResult, directory: Path, summary: Summary) -> dict[str, Path]:
    """Return the files of a report, by their content."""
    files = {
        "archive": result.path / ARCHIVE,
        "this report": directory / "summary.txt",
        "with figures": directory / HTML,
        "as Markdown": directory / MARKDOWN,
        "as JSON": directory / "summary.json",
        **{f"{other} plot": directory / plot_name(other) for other, front in summary.fronts.items() if front},
    }
    if summary.best:
        files["architecture"] = directory / BEST / ARCHITECTURE
    if summary.best and (directory / BEST / WEIGHTS).exists():
        files["weights"] = directory / BEST / WEIGHTS
    return files


def _next_steps(
    summary: Summary, training: Training | None, *, has_weights: bool, logs: Path | None
) -> Mapping[str, str]:
    steps = {"look closer": f"tensorboard --logdir {shlex.quote(str(logs))}"} if logs else {}
    if has_weights:
        steps["trained network"] = "result.best_model()"
    if training:
        steps["train longer"] = f"result.retrain(epochs={4 * training.epochs})"
    if summary.interrupted:
        steps["continue"] = "the same call"
    elif summary.has_only_failures:
        steps["try again"] = "the same call with retry_failed=True, once the reason is mended"
    elif not summary.ended_because:
        steps["search on"] = "the same call with a larger num_samples"
    return steps


def title_of(space: SearchSpace, settings: TrialSettings, strategy: Strategy) -> str:
    """Return space, data and strategy in a line."""
    data = getattr(settings, "data", None)
    stopping = strategy.early_stopping
    by = type(strategy).__name__ + (f" + {type(stopping).__name__}" if stopping else "")
    return f"{space.name}{f' on {data}' if data else ''}, {by}"
