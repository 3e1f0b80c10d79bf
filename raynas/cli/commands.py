"""What the scripts do, and what they say where it goes wrong."""

import dataclasses
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from raynas.cli.funnel_run import FunnelRun
from raynas.cli.options import RetrainCommand, SearchCommand, parse_retrain, parse_search
from raynas.cli.search_run import Interrupted, SearchRun, shown
from raynas.cli.winner import fitted, folder_for, read_architecture, train
from raynas.errors import RaynasError
from raynas.views.progress import amount
from raynas.views.report import render, write

__all__ = ["fitted", "retrain_found", "run_tune"]

OK, NO_RESULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


def run_tune(argv: Sequence[str]) -> int:
    """Search, compare with random search, train the winner to its end, report; gives the exit code."""
    return _guarded(lambda: _search(parse_search(argv)))


def retrain_found(argv: Sequence[str]) -> int:
    """Train a found architecture to its end, and test it; gives the exit code."""
    return _guarded(lambda: _retrain(parse_retrain(argv)))


def _guarded(action: Callable[[], int]) -> int:
    """Errors as one line, without a traceback where it is not a fault of the program."""
    try:
        return action()
    except (KeyboardInterrupt, Interrupted) as error:
        done = f": {error}" if str(error) else ""
        print(f"Interrupted{done}. Run the same command again to go on from here.", file=sys.stderr)
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


def _search(command: SearchCommand) -> int:
    console = Console()
    run = FunnelRun(command, console) if command.stages else SearchRun(command, console)
    run.connect()
    result = run.search()
    random = run.random(result)
    retrained, weights = run.retrain(result)
    summary = run.summary(result, random, retrained, weights)
    write(summary, run.path, points={"search": result.full, **({"random": random.full} if random else {})})
    render(summary, console)
    return OK if summary.best else NO_RESULT


def _retrain(command: RetrainCommand) -> int:
    console = Console()
    space, data = fitted(command.space, command.training, command.given)
    arch = read_architecture(command.file, space)
    training = dataclasses.replace(command.training, data=data)
    folder = command.output or folder_for(command.file.parent, arch, space, training)
    settings = f", settings from {shown(command.settings)}" if command.settings else ""
    _say(f"Training {arch.key} on {data} for {training.epochs} epochs{settings}", console)
    metrics = train(space, arch, training, folder, console)
    for name in ("test_accuracy", "test_loss", "params", "macs", "latency_ms", "train_seconds"):
        if name in metrics:
            console.print(Text.assemble((f"{name:<14}", "cyan"), amount(name, metrics[name])))
    _say(f"Weights in {shown(folder / 'weights.safetensors')}", console)
    return OK


def _say(text: str, console: Console) -> None:
    console.print(Text(text), soft_wrap=True)
