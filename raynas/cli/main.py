"""The console command ``raynas`` and its sub-commands."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from raynas.errors import UnknownNameError, did_you_mean

COMMANDS = {
    "search": ("run_tune", "search for an architecture, train the best one to its end, report"),
    "retrain": ("retrain_found", "train a found architecture to its end, and test it"),
    "export": ("export_found", "write a found network to files that run without raynas"),
    "convert": ("convert_model", "show what of a model of yours can vary, and what its smaller relatives cost"),
    "blocks": ("replace_blocks", "replace blocks of a trained model by alternatives, the best within limits"),
    "compress": ("compress_model", "make a trained model smaller or faster, and keep what it can do"),
    "mine": ("mine_model", "find smaller networks of a trained model for every budget from one training"),
    "profile": ("profile_space", "time every operation of a space, for a table that predicts latency"),
    "propose": ("propose", "ask a search for architectures to evaluate elsewhere"),
    "observe": ("observe", "book results of architectures in a search"),
    "archive": ("archive", "show what archives hold, merge several, or export one as a table"),
    "track": ("track_found", "write a search to experiment trackers: MLflow, Weights & Biases"),
    "report": ("report_found", "write and print the report of a search again, also of an unfinished one"),
}
"""For each sub-command its function in ``raynas.cli.commands``, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; return the exit code."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(sys.modules["raynas"].__version__)
        return 0
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or "."
        if "--json" in rest:
            return _refused(name, rest)
        print(f"error: unknown sub-command {name!r}{hint} Known: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    run: Callable[[Sequence[str]], int] = getattr(import_module("raynas.cli.commands"), COMMANDS[name][0])
    return run(rest)


def _refused(name: str, rest: Sequence[str]) -> int:
    from raynas.cli.answering import answered  # imports msgspec, which --help does not need

    def refuse(argv: Sequence[str]) -> NoReturn:
        raise UnknownNameError("sub-command", name, COMMANDS)

    return answered(name, rest, refuse)


def _help() -> str:
    rows = "\n".join(f"  {name:<9} {summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: raynas SUB-COMMAND [OPTIONS]    neural architecture search on Ray Tune\n\n"
        f"sub-commands:\n{rows}\n\noptions:\n  --help     this text; raynas SUB-COMMAND --help lists its options\n"
        "  --json     the result of a sub-command as one JSON object\n  --version  the version\nexamples:\n"
        "  raynas search                            small CNNs on scikit-learn's digits, in a few minutes\n"
        "  raynas search --model my_net:Net --keep head --data folder:photos"
    )
