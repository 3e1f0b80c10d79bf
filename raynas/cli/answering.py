"""Running a command: errors in one line, exit codes, and with ``--json`` one JSON object on stdout."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import msgspec
from msgspec import Struct

from raynas import __version__
from raynas.cli.answers import Answer, Error
from raynas.cli.exit_codes import ExitCode, exit_code_of
from raynas.cli.terminal import Interrupted
from raynas.errors import RaynasError, one_line

JSON = "--json"

MAX_MESSAGE = 2000
"""Maximum number of characters of an error in one line."""

Action = Callable[[Sequence[str]], tuple[ExitCode, Struct | None] | int]
"""A command: its exit code and, if it has one, its answer, from its command line without ``--json``."""


def answered(command: str, argv: Sequence[str], action: Action) -> int:
    """Run a command; return its exit code.

    With ``--json``, stdout gets one JSON object whatever happens, and what the command prints goes to stderr.

    Args:
        command: its name.
        argv: its command line.
        action: carries it out.
    """
    as_json = JSON in argv
    try:
        with _working_folder_on_path(), redirect_stdout(sys.stderr) if as_json else nullcontext():
            outcome = action([token for token in argv if token != JSON])
        code, answer = outcome if isinstance(outcome, tuple) else (ExitCode(outcome), None)
        error = None
    except (KeyboardInterrupt, Interrupted) as interrupt:
        done = f": {interrupt}" if str(interrupt) else ""
        text = f"Interrupted{done}. Run the same command again to go on from here."
        code, answer, error = ExitCode.INTERRUPTED, None, Error(kind="Interrupted", message=text)
        if not as_json:
            print(text, file=sys.stderr)
    except Exception as failure:
        is_wanted = isinstance(failure, RaynasError | ValueError) and _is_ours(failure)
        if not is_wanted and not as_json:
            raise
        if not is_wanted:
            traceback.print_exc()
        code, answer = exit_code_of(failure) if is_wanted else ExitCode.FAULT, None
        error = Error(kind=type(failure).__name__, message=_in_one_line(failure))
        if not as_json:
            print(f"error: {error.message}", file=sys.stderr)
    if as_json:
        _print_json(Answer(raynas=__version__, command=command, exit_code=code, result=as_plain(answer), error=error))
    return code


def as_plain(answer: object) -> Any:
    """Return an answer in types of JSON, with figures that know their origin as numbers."""
    return msgspec.to_builtins(answer, enc_hook=_number)


def _number(value: object) -> float:
    if isinstance(value, float):  # Measured
        return float(value)
    raise NotImplementedError(f"{type(value).__name__} is no type of JSON")


def _print_json(answer: Answer) -> None:
    print(msgspec.json.encode(answer).decode())


def _in_one_line(error: BaseException) -> str:
    text = " ".join((str(error) if isinstance(error, ValueError) else one_line(error)).split())
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE // 2]} ... {text[-MAX_MESSAGE // 4 :]}"


@contextmanager
def _working_folder_on_path() -> Iterator[None]:
    """Let the user's code be imported from the working folder, as Ray's workers do; what is installed goes first."""
    folder = os.getcwd()
    is_new = folder not in sys.path and "" not in sys.path
    if is_new:
        sys.path.append(folder)
    try:
        yield
    finally:
        if is_new and folder in sys.path:
            sys.path.remove(folder)


def _is_ours(error: BaseException) -> bool:
    """Return whether raynas raised an error: a ValueError from elsewhere is a fault, whose traceback is needed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return isinstance(error, RaynasError) or module.partition(".")[0] == "raynas"
