"""Checkpoints of a search's trials: in its folder, or in a bucket."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray import tune

from raynas.core.archive_schema import MAX_COUNT
from raynas.errors import ContentError, RaynasError
from raynas.files.inside import delete, inside
from raynas.run.last_checkpoint import last_checkpoint, number_of, set_aside, trial_folder
from raynas.storage.bucket import Bucket
from raynas.trials.bucket_storage import BucketStorage, fetched
from raynas.trials.checkpoint import META, STATE, Checkpoint, decode_meta, refuse_cut

MAX_META_BYTES = 2**20
"""Largest size of a ``meta.json``."""


@dataclass(frozen=True)
class Found:
    """The checkpoint that a trial continues from.

    Args:
        name: of its folder, as the trial's storage knows it; "" if the trial begins again.
        n_reported: number of epochs that the trial does not report again.
        last_index: number of the last checkpoint that must not be overwritten; -1 if none must not.
    """

    name: str
    n_reported: int
    last_index: int = -1


class Checkpoints(Protocol):
    """Finds, reads and deletes the checkpoints of trials, each by the trial's name."""

    @property
    def place(self) -> Path | Bucket:
        """The folder of the search that holds them."""

    def storage(self, experiment: Any) -> Any:
        """Return Tune's storage of the trials, given that of their experiment."""

    def to_resume(self, trial: str, n_reported: int, *, restarted: bool) -> Found | None:
        """Return the newest whole checkpoint that a trial can continue from, and delete the others.

        Args:
            trial: its name.
            n_reported: number of epochs that it reported in this attempt.
            restarted: whether there was an earlier attempt, whose checkpoints count no more.
        """

    def read(self, trial: str, max_epoch: int) -> Checkpoint | None:
        """Return the content of the newest whole checkpoint that is not ahead of ``max_epoch``.

        Raises:
            RaynasError: if it cannot be read.
        """

    def any_of(self, trial: str) -> bool:
        """Return whether there are checkpoints of a trial, whole or not."""

    def thin(self, trial: str, newest: tune.Checkpoint) -> None:
        """Delete those of a running trial but the two newest: the last may be half-written, or ahead of the archive."""

    def drop(self, trial: str) -> None:
        """Delete those of a trial that needs them no longer."""


@dataclass(frozen=True)
class LocalCheckpoints:
    """Those in a folder that all nodes see.

    Args:
        path: the folder of the search.
    """

    path: Path

    @property
    def place(self) -> Path:
        return self.path

    def storage(self, experiment: Any) -> Any:
        return experiment

    def to_resume(self, trial: str, n_reported: int, *, restarted: bool) -> Found | None:
        found = last_checkpoint(inside(self.path, trial), n_reported)
        return Found(str(set_aside(found[0])), found[1]) if found else None

    def read(self, trial: str, max_epoch: int) -> Checkpoint | None:
        found = last_checkpoint(trial_folder(self.path, trial), max_epoch)
        return Checkpoint.read(found[0]) if found else None

    def any_of(self, trial: str) -> bool:
        return any((self.path / trial).glob("checkpoint_*"))

    def thin(self, trial: str, newest: tune.Checkpoint) -> None:
        self._delete(trial, keep=2)

    def drop(self, trial: str) -> None:
        self._delete(trial)

    def _delete(self, trial: str, keep: int = 0) -> None:
        found = sorted(inside(self.path, trial).glob("checkpoint_*"), key=lambda path: path.lstat().st_mtime)
        for checkpoint in found[: len(found) - keep]:
            delete(checkpoint)


@dataclass(frozen=True)
class BucketCheckpoints:
    """Those in a bucket; a trial that continues adds to them under further numbers.

    They may be ahead of the archive in the bucket, which lacks the last events of a machine that was lost. So a trial
    continues from the newest, and reports the epoch in it again: what was trained is not trained twice.

    Args:
        bucket: the folder of the search.
        later: deletes when the bucket has the events that say why, see ``Replica.later``.
    """

    bucket: Bucket
    later: Callable[[str, Callable[[], None]], None]

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles what refers to this into its own state, which nothing is restored from.
        return {}

    @property
    def place(self) -> Bucket:
        return self.bucket

    def storage(self, experiment: Any) -> Any:
        return BucketStorage.of(experiment, self.bucket)

    def to_resume(self, trial: str, n_reported: int, *, restarted: bool) -> Found | None:
        numbers = self._numbers(trial)
        if restarted and not n_reported:
            for number in numbers:
                self.bucket.entry(trial).delete_folder(_named(number))
            return None
        if not numbers:
            return None
        if (found := self._last(trial, numbers, MAX_COUNT)) is None:
            return Found("", 0, numbers[-1])
        number, epoch = found
        self._delete_later(trial, lambda other: other != number and other <= numbers[-1])
        return Found(f"{trial}/{_named(number)}", epoch - 1, numbers[-1])

    def read(self, trial: str, max_epoch: int) -> Checkpoint | None:
        found = self._last(trial, self._numbers(trial), max_epoch)
        if found is None:
            return None
        with fetched(self.bucket.entry(f"{trial}/{_named(found[0])}")) as folder:
            return Checkpoint.read(folder)

    def any_of(self, trial: str) -> bool:
        try:
            return bool(self._numbers(trial))
        except RaynasError:
            return False

    def thin(self, trial: str, newest: tune.Checkpoint) -> None:
        # When this is done, the archive in the bucket has the report before this checkpoint, maybe none of later ones.
        last = number_of(newest.path)
        self._delete_later(trial, lambda number: number < last - 1)

    def drop(self, trial: str) -> None:
        self._delete_later(trial, lambda number: True)

    def _numbers(self, trial: str) -> list[int]:
        found = (number_of(name) for name in self.bucket.entry(trial).folders())
        return sorted(number for number in found if number >= 0)

    def _last(self, trial: str, numbers: list[int], max_epoch: int) -> tuple[int, int] | None:
        for number in reversed(numbers):
            epoch = self._whole_epoch(self.bucket.entry(f"{trial}/{_named(number)}"))
            if epoch is not None and epoch <= max_epoch:
                return number, epoch
        return None

    def _whole_epoch(self, checkpoint: Bucket) -> int | None:
        files = checkpoint.files()
        try:
            meta = decode_meta(checkpoint.read(META, MAX_META_BYTES)) if META in files else None
            if meta is None:
                return None
            refuse_cut(meta, files.get(STATE))
        except (ContentError, FileNotFoundError):
            return None
        return int(meta["epoch"])

    def _delete_later(self, trial: str, chosen: Callable[[int], bool]) -> None:
        def delete_chosen() -> None:
            for number in filter(chosen, self._numbers(trial)):
                self.bucket.entry(trial).delete_folder(_named(number))

        self.later(trial, delete_chosen)


def _named(number: int) -> str:
    return f"checkpoint_{number:06d}"
