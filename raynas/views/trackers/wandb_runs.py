"""Weights & Biases: runs for a search and its trials, in one group, with ids that follow from the search's.

The files of a run cannot be read back offline. So ``wandb-written.txt`` in the search's folder has a line for each
trial that is written, added after its run: a kill between the two writes the same run, with the same id, again. The
files themselves are where wandb puts them, in ``wandb/`` of the working folder or of ``WANDB_DIR``: it makes links that
lead elsewhere, which a results folder must not hold.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from raynas.errors import ContentError, RaynasError, SettingError, one_line
from raynas.files.content import read_file
from raynas.views.trackers.tracked import Point, TrackedSearch, TrackedTrial
from raynas.views.trackers.tracker import End, key_of, needs, shortened

Mode = Literal["online", "offline"]

WRITTEN = "wandb-written.txt"
"""Name of the file that says which runs are complete."""

MAX_WRITTEN_BYTES = 2**28
"""Largest size of that file; a line has about 30 bytes."""


@dataclass(frozen=True, kw_only=True)
class WeightsAndBiases:
    """Writes a search to Weights & Biases, each trial as a run in the search's group.

    Args:
        project: default ``WANDB_PROJECT``, or "raynas".
        entity: the user or team; default ``WANDB_ENTITY``, or that of the log-in.
        mode: "online", or "offline" for files that ``wandb sync`` sends later; default ``WANDB_MODE``, or "online".

    Raises:
        SettingError: if there is no such mode.
    """

    project: str | None = None
    entity: str | None = None
    mode: Mode | None = None

    def __post_init__(self) -> None:
        if self.mode not in (None, *get_args(Mode)):
            raise SettingError(f"mode must be one of {', '.join(get_args(Mode))}, got {self.mode!r}")

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "wandb"

    @property
    def title(self) -> str:
        """The name of the product."""
        return "Weights & Biases"

    def check(self) -> None:
        """Raise a RaynasError if wandb cannot be imported."""
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise needs("Weights & Biases", "wandb", error) from None

    def open(self, search: TrackedSearch) -> "WandbRuns":
        """Open the run of a search.

        Raises:
            RaynasError: if wandb is not installed, or cannot be reached.
        """
        self.check()
        return WandbRuns(self, search)


class WandbRuns:
    """The runs of one search.

    Args:
        settings: the project.
        search: the search.
    """

    def __init__(self, settings: WeightsAndBiases, search: TrackedSearch) -> None:
        self._settings, self._search = settings, search
        self._written = _written(search.path / WRITTEN)
        self._n_shown = int(self._written.get("", "0"))
        params = {key_of(name): value for name, value in search.params.items()}
        self._parent = self._run("", name=search.path.name, job_type="search", config=params)

    def write(self, trial: TrackedTrial) -> None:
        """Write the run of a trial, in one go."""
        fingerprint = trial.fingerprint
        if self._written.get(trial.name) == fingerprint:
            return
        config = {key_of(name): value for name, value in trial.params.items()}
        run = self._run(trial.name, name=trial.name, job_type="trial", config=config)
        for step in dict.fromkeys(step for _, step, _ in trial.points):
            run.log({key_of(name): value for name, at, value in trial.points if at == step}, step=step)
        texts = {"status": trial.status, "error": trial.error, **trial.notes}
        last = {name: value for name, _, value in trial.points}
        run.summary.update({key_of(name): value for name, value in last.items()})
        run.summary.update({f"raynas/{key_of(name)}": shortened(text) for name, text in texts.items() if text})
        run.finish(exit_code=1 if trial.status == "failed" else 0)
        self._mark(trial.name, fingerprint)

    def progress(self, points: Sequence[Point]) -> None:
        """Add metrics of the whole search to its run."""
        steps = dict.fromkeys(step for _, step, _ in points if step > self._n_shown)
        for step in steps:
            self._parent.log({key_of(name): value for name, at, value in points if at == step}, step=step)
            self._n_shown = step

    def close(self, end: End, files: Mapping[str, Path]) -> None:
        """End the run of the search, with its files."""
        self._parent.summary.update({"raynas/status": end, "raynas/folder": str(self._search.path)})
        if files:
            self._attach(files)
        self._parent.finish(exit_code=0 if end == "finished" else 1)
        self._mark("", str(self._n_shown))

    def _attach(self, files: Mapping[str, Path]) -> None:
        import wandb

        artifact = wandb.Artifact(f"search-{self._search.id}", type="report")
        for name, path in files.items():
            artifact.add_file(str(path), name=name)
        self._parent.log_artifact(artifact)

    def _run(self, trial: str, **about: Any) -> Any:
        import wandb

        quiet = wandb.Settings(console="off", disable_git=True, save_code=False, silent=True, x_disable_stats=True)
        group = f"{self._search.path.name}-{self._search.id[:8]}"
        try:
            return wandb.init(
                project=self._settings.project or os.environ.get("WANDB_PROJECT") or "raynas",
                entity=self._settings.entity,
                mode=self._settings.mode,
                id=f"{self._search.id}-{key_of(trial, 100).replace('/', '_')}" if trial else self._search.id,
                group=shortened(group, 128),
                resume="allow",
                reinit="create_new",
                settings=quiet,
                **about,
            )
        except wandb.Error as error:
            hint = "run `wandb login`, or set WANDB_MODE=offline"
            raise RaynasError(f"Weights & Biases cannot be used: {one_line(error)}; {hint}") from None

    def _mark(self, trial: str, content: str) -> None:
        self._written[trial] = content
        with (self._search.path / WRITTEN).open("a", encoding="utf-8") as file:
            file.write(f"{content} {trial}\n")


def _written(path: Path) -> dict[str, str]:
    """Return the fingerprint of each trial whose run is complete; a damaged line counts as none."""
    try:
        lines = read_file(path, MAX_WRITTEN_BYTES).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except ContentError as error:
        raise RaynasError(f"cannot read {path}: {error}; remove it, and all runs are written again") from None
    parts = [line.partition(" ") for line in lines]
    return {trial: content for content, _, trial in parts if content.isalnum() and (trial or content.isdecimal())}
