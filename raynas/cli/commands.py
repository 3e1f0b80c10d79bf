"""What the scripts do: search, compare with random search, retrain the winner, report."""

import dataclasses
import hashlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import yaml
from ray import tune
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

from raynas.api import search
from raynas.architecture import Architecture
from raynas.cli.options import (
    RETRAIN_SETTINGS,
    RetrainCommand,
    SearchCommand,
    names_code,
    parse_retrain,
    parse_search,
)
from raynas.errors import RaynasError, SpaceError
from raynas.objective import Evaluation, one_line
from raynas.progress import amount
from raynas.report import Summary, best_or_reason, plot_name, render, summarise, write
from raynas.result import SearchResult
from raynas.search_spaces import SEARCH_SPACES
from raynas.space import SearchSpace
from raynas.strategies import RandomSearch, Strategy
from raynas.trials import Training, TrialSettings, retrain
from raynas.trials.fitting import fit_space, scaled

PROGRESS_COLUMNS = ("{task.description}", BarColumn(), MofNCompleteColumn(), "epochs", TimeRemainingColumn())

OK, NO_RESULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


def run_tune(argv: Sequence[str]) -> int:
    """Search, and report; gives the exit code."""
    return _guarded(lambda: _search_and_report(parse_search(argv)))


def retrain_found(argv: Sequence[str]) -> int:
    """Train a found architecture to the end, and test it; gives the exit code."""
    return _guarded(lambda: _retrain_file(parse_retrain(argv)))


def _guarded(action: Callable[[], int]) -> int:
    """Errors as one line, without a traceback where it is not a fault of the program."""
    try:
        return action()
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again to go on from here.", file=sys.stderr)
        return INTERRUPTED
    except (RaynasError, ValueError) as error:
        if not _is_ours(error):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT


def _is_ours(error: BaseException) -> bool:
    """Whether raynas raised it: a ValueError from elsewhere is a fault, whose traceback is needed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return isinstance(error, RaynasError) or module.partition(".")[0] == "raynas"


MAX_ARCHITECTURE_BYTES = 2**20


def read_architecture(path: str | Path, space: SearchSpace) -> Architecture:
    """The architecture of ``space`` in a JSON file.

    Raises:
        RaynasError: if the file cannot be read, is no JSON object of scalars, or not an architecture of the space.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_ARCHITECTURE_BYTES + 1)
        if len(content) > MAX_ARCHITECTURE_BYTES:
            raise SpaceError(f"it has more than {MAX_ARCHITECTURE_BYTES} bytes, which no architecture needs")
        return space.canonical(Architecture.from_json(content.decode()))
    except OSError as error:
        raise RaynasError(f"cannot read the architecture {str(path)!r}: {error.strerror}") from None
    except (RaynasError, ValueError, RecursionError) as error:
        raise RaynasError(f"{path} holds no architecture of {space.name}: {error}") from None


# --- search ----------------------------------------------------------------------------------------------------------


def _search_and_report(command: SearchCommand) -> int:
    console = Console()
    space, data = fitted(command.space, command.trainable, command.given)
    final = scaled(space, command.retrain.space if command.retrain else {})
    _connect(command.run.address)
    result = _searched(command, space, command.strategy, command.run.name or "")
    winner, _ = best_or_reason(result)
    directory = result.path / "best"
    if winner:
        _keep(winner.arch, directory, final, _final_training(command, winner, data))
    if result.interrupted:
        return _stopped(result, command.search.num_samples)
    notes: list[str] = []
    random = _random(command, space, result, notes, console) if winner else None
    if random and random.interrupted:
        return _stopped(random, len(result.archive.events("proposed")), "random search: ")
    metrics, folder = _retrained(command, final, winner, directory, data, notes, console)
    title = f"{command.names['space']} on {data}, {command.names['strategy']}"
    title += f" + {command.names['early_stopping']}" if command.strategy.early_stopping else ""
    summary = summarise(result, title=title, random=random, retrained=metrics, notes=notes)
    summary = _with_places(summary, command, result, directory, folder if metrics else None, data)
    write(summary, result.path, points={"search": result.full, **({"random": random.full} if random else {})})
    render(summary, console)
    return OK if winner else NO_RESULT


def fitted(
    make_space: Callable[..., SearchSpace], trainable: TrialSettings, given: frozenset[str]
) -> tuple[SearchSpace, str]:
    """The space for the data, and the data's name.

    Args:
        make_space: makes the space; takes fields of it.
        trainable: knows the data.
        given: the options that the user gave.

    Raises:
        RaynasError: if data and space do not fit together.
    """
    if not isinstance(trainable, Training):
        return make_space(), str(getattr(trainable, "fn", ""))
    source = trainable.load_source()
    sizes = {} if "space.input_shape" in given else {"input_shape": source.input_shape}
    asked = make_space(**sizes)
    space = fit_space(asked, source)
    for name in ("input_shape", "n_classes"):
        wanted, held = getattr(asked, name, None), getattr(space, name, None)
        if f"space.{name}" in given and wanted != held:
            raise RaynasError(f"--space.{name} is {wanted}, but data {source.name} has {held}: leave it out")
    return space, source.name


def _connect(address: str | None) -> None:
    if address is None:
        return
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RaynasError(f"cannot reach a Ray cluster at {address!r}: {one_line(error)}") from None


def _searched(
    command: SearchCommand, space: SearchSpace, strategy: Strategy, name: str, num_samples: int | None = None
) -> SearchResult:
    options, run = command.search, command.run
    return search(
        space,
        command.trainable,
        strategy,
        objectives=options.objectives,
        constraints=options.constraints,
        num_samples=num_samples or options.num_samples,
        seed=options.seed,
        hyperparameters=options.hyperparameters or None,
        baseline=read_architecture(options.baseline, space) if options.baseline else None,
        max_concurrent=run.max_concurrent,
        progress=run.progress,
        tensorboard=run.tensorboard,
        run_config=tune.RunConfig(name=name, storage_path=run.results),
    )


def _random(
    command: SearchCommand, space: SearchSpace, result: SearchResult, notes: list[str], console: Console
) -> SearchResult | None:
    """Random search with as many trials as the search had."""
    if not command.report.compare_random:
        return None
    if isinstance(command.strategy, RandomSearch):
        notes.append("the strategy is random search itself, so there is nothing to compare it with.")
        return None
    console.print("\nRandom search at equal budget, for comparison", style="bold")
    strategy = RandomSearch(early_stopping=command.strategy.early_stopping)
    return _searched(command, space, strategy, f"{command.run.name}/random", len(result.archive.events("proposed")))


def _stopped(result: SearchResult, num_samples: int, what: str = "") -> int:
    ended = len(result.evaluations)
    print(
        f"Interrupted, {what}{ended} of {num_samples} trials done. Run the same command again to go on from here.",
        file=sys.stderr,
    )
    return INTERRUPTED


# --- retraining ------------------------------------------------------------------------------------------------------


def _final_training(command: SearchCommand, winner: Evaluation, data: str) -> Training | None:
    """How the winner is trained to its end: the search's settings, its own hyperparameters, more epochs."""
    if not isinstance(command.trainable, Training) or command.retrain is None:
        return None
    training = command.trainable.at_full_fidelity.with_hyperparameters(winner.hyperparameters)
    epochs = command.retrain.epochs or training.epochs
    return dataclasses.replace(training, epochs=epochs, data=data)


def _keep(arch: Architecture, directory: Path, space: SearchSpace, training: Training | None) -> None:
    """Write the architecture, and beside it the settings with which ``scripts/retrain.py`` trains it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "architecture.json").write_text(arch.to_json() + "\n")
        name = next((name for name, cls in SEARCH_SPACES.items() if type(space) is cls), None)
        if training and name:
            settings = {"space": {"name": name, **_fields(space)}, "trainable": _fields(training)}
            (directory / RETRAIN_SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False))
    except OSError as error:
        raise RaynasError(f"cannot write to {directory}: {error.strerror}") from None


def _fields(settings: Any) -> dict[str, Any]:
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings) if f.init}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value != {}}


def retrained_folder(parent: Path, arch: Architecture, space: SearchSpace, training: Training) -> Path:
    """Where a network is retrained: another folder for another architecture, size or training."""
    about = hashlib.sha256(f"{space.fingerprint} {training.description}".encode()).hexdigest()[:6]
    return parent / f"retrained-{arch.key}-{training.epochs}epochs-{about}"


def _retrained(
    command: SearchCommand,
    space: SearchSpace,
    winner: Evaluation | None,
    directory: Path,
    data: str,
    notes: list[str],
    console: Console,
) -> tuple[Mapping[str, float] | None, Path]:
    """Metrics of the winner trained to its end, and the folder that holds its weights."""
    training = _final_training(command, winner, data) if winner else None
    if winner is None or training is None or not (command.retrain and command.retrain.epochs):
        return None, directory
    folder = retrained_folder(directory, winner.arch, space, training)
    try:
        return _train(space, winner.arch, training, folder, console), folder
    except RaynasError as error:
        notes.append(f"the winner could not be retrained: {one_line(error)}")
        return None, directory


def _train(
    space: SearchSpace, arch: Architecture, training: Training, folder: Path, console: Console
) -> Mapping[str, float]:
    """Retrain, with a progress bar on a terminal."""
    with Progress(*PROGRESS_COLUMNS, console=console, transient=True) as progress:
        task = progress.add_task(f"retraining {arch.key}", total=training.epochs)
        return retrain(
            space, arch, training, folder, on_epoch=lambda r: progress.update(task, completed=r["training_iteration"])
        )


def _retrain_file(command: RetrainCommand) -> int:
    console = Console()
    space, data = fitted(command.space, command.training, command.given)
    arch = read_architecture(command.file, space)
    training = dataclasses.replace(command.training, data=data)
    folder = command.output or retrained_folder(command.file.parent, arch, space, training)
    if command.settings:
        console.print(Text(f"Settings from {shown(command.settings)}"), soft_wrap=True)
    console.print(Text(f"Training {arch.key} on {data} for {training.epochs} epochs"), soft_wrap=True)
    metrics = _train(space, arch, training, folder, console)
    for name in ("test_accuracy", "test_loss", "params", "macs", "latency_ms", "train_seconds"):
        if name in metrics:
            console.print(Text.assemble((f"{name:<14}", "cyan"), amount(name, metrics[name])))
    console.print(Text(f"Weights in {shown(folder / 'weights.safetensors')}"), soft_wrap=True)
    return OK


# --- places ----------------------------------------------------------------------------------------------------------


def shown(path: Path) -> str:
    """A path for people: relative where it lies below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _with_places(
    summary: Summary, command: SearchCommand, result: SearchResult, directory: Path, folder: Path | None, data: str
) -> Summary:
    """Say where everything lies, and what to run next."""
    path = result.path
    files = {"archive": path / "archive.jsonl", "this report": path / "summary.txt", "as JSON": path / "summary.json"}
    files |= {f"plot {cost}": path / plot_name(cost) for cost, front in summary.fronts.items() if front}
    files |= {"architecture": directory / "architecture.json"} if summary.best else {}
    files |= {"weights": folder / "weights.safetensors"} if folder else {}
    commands = {}
    if command.run.tensorboard:
        commands["look closer"] = f"tensorboard --logdir {shlex.quote(shown(path / 'tensorboard'))}"
    if summary.best and command.retrain:
        code = f" --data {shlex.quote(data)}" if names_code(data) else ""
        file = shlex.quote(shown(directory / "architecture.json"))
        epochs = 4 * (command.retrain.epochs or 25)
        commands["train longer"] = f"python scripts/retrain.py {file}{code} --epochs {epochs}"
    if not summary.ended_because:
        commands["search on"] = f"the same command with --num_samples {2 * command.search.num_samples}"
    return dataclasses.replace(summary, files={name: shown(p) for name, p in files.items()}, commands=commands)
