"""The command line of ``raynas track``, read without torch, so that a wrong folder is said at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.stored_search import read_words, results_folder, search_in
from raynas.errors import RaynasError

EXAMPLES = """\
examples:
  raynas track results/cnn-digits-auto mlflow
  MLFLOW_TRACKING_URI=sqlite:///mlflow.db raynas track results/cnn-digits-auto mlflow
  WANDB_MODE=offline raynas track results/cnn-digits-auto wandb"""


@dataclass(frozen=True)
class TrackRequest:
    """A search to write to trackers.

    Args:
        search: the folder of the search.
        trackers: names of the trackers.
    """

    search: Path
    trackers: tuple[str, ...]


def read_track(argv: Sequence[str]) -> TrackRequest:
    """Read the command line: a folder, or its archive, and names of trackers.

    Raises:
        RaynasError: if it names no folder of a search or no tracker, or there is an option.
        SystemExit: after ``--help``.
    """
    given = read_words(
        argv,
        "raynas track",
        "RESULTS_DIR TRACKER...",
        "Write a search to trackers (mlflow, wandb): a run for the search, and one for each trial that ended. "
        "What is there already stays. Environment variables of the trackers say where.",
        EXAMPLES,
    )
    if len(given) < 2:
        got = " ".join(given) or "none"
        raise RaynasError(f"give a folder and at least one tracker: raynas track RESULTS_DIR mlflow, got {got}")
    return TrackRequest(search_in(results_folder(given[0])), tuple(given[1:]))
