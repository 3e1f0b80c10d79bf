"""Replica: the folder of a search on this machine, kept in a bucket too, so that another machine can continue it.

The local archive is written as it is without a bucket. A thread looks at it every second, and uploads what is new as
the next segment (see ``segments``); nothing of the driver waits for that. What a machine that is lost takes with it are
the events of its last seconds. Checkpoints that are needed no longer are deleted only when the bucket has the events
that say so: so a trial whose end was lost is in its last checkpoint, and is not trained again.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path

import msgspec

from raynas.core.archive import Archive
from raynas.core.archive_file import lock_file
from raynas.core.archive_schema import MAX_ARCHIVE_BYTES
from raynas.errors import ArchiveError, BusyError, ContentError, StorageError, one_line
from raynas.files.content import decode_json, read_file
from raynas.files.inside import refuse_links
from raynas.storage import segments
from raynas.storage.bucket import Bucket
from raynas.storage.lease import BEAT_SECONDS, Lease
from raynas.storage.mirror import Mirror
from raynas.storage.segments import Segment

logger = logging.getLogger(__name__)

NOTE = ".bucket.json"
"""Name of the file in the local folder that says which bucket it belongs to; it is locked while a driver runs."""

POLL_SECONDS = 1.0
"""Time between two looks at the archive: events younger than this may be lost with the machine."""

MIRROR_SECONDS = 60.0
"""Time between two uploads of the other files, such as the report."""

MAX_SEGMENT_BYTES = 16 * 2**20
"""Bytes of a segment, at which a longer line ends it."""

FLUSH_SECONDS = 120.0
"""Time at the end of a search in which what is left is uploaded."""

PATIENCE_SECONDS = 20.0
"""Time for which an operation is tried. At the start it fails then, as a bucket that cannot be reached at all should be
said soon; later everything is tried again and again."""


class _Note(msgspec.Struct):
    bucket: str
    holder: str


_NOTE: "msgspec.json.Decoder[_Note]" = msgspec.json.Decoder(_Note)


def _note_in(path: Path) -> _Note | None:
    try:
        return msgspec.convert(decode_json(read_file(path / NOTE), _NOTE), _Note)
    except (OSError, ContentError):
        return None


def bucket_of(path: Path) -> str:
    """Return the bucket, in words, that a folder of a search is the working copy of; "" if it is none."""
    note = _note_in(path)
    return note.bucket if note else ""


class Replica:
    """Keeps the archive and the small files of a folder in a bucket, from ``begin`` to ``finish``.

    Args:
        bucket: the folder of the search there.
        path: its folder on this machine.
        archive: name of the archive.
    """

    def __init__(self, bucket: Bucket, path: Path, archive: str) -> None:
        self.bucket, self.path = replace(bucket, patience=PATIENCE_SECONDS), path
        self._file = path / archive
        self._lease = Lease(self.bucket)
        self._lock: FileIO | None = None
        self._segments: list[Segment] = []
        self._archive: Archive | None = None
        self._later: dict[str, tuple[int, Callable[[], None]]] = {}
        self._later_lock = threading.Lock()
        self._mirror = Mirror(self.bucket, path, archive)
        self._next_mirror = time.monotonic() + MIRROR_SECONDS
        self._is_down = False
        self._ends, self._released, self._is_taken_over = (threading.Event() for _ in range(3))
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in (self._replicate, self._beat)]

    # --- the start ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Become the driver, and bring the local archive to the state of the bucket.

        An archive here that knows more than the bucket is kept, and one that knows less is completed. Where they
        differ, another machine has gone on without the last events of this one: then the bucket counts.

        Raises:
            ArchiveError: if the archive in the bucket or the folder cannot be used, or the folder is of another bucket.
            BusyError: if another driver runs the search.
            StorageError: if the bucket cannot be read or written.
        """
        try:
            self._begin()
        except BaseException:
            self.finish()
            raise

    def _begin(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        refuse_links(self.path)
        self._lock = (self.path / NOTE).open("ab+", buffering=0)
        lock_file(self._lock, self.path / NOTE)
        earlier = self._noted()
        self._lease.take(earlier, max((segment.generation for segment in segments.listed(self.bucket)), default=0))
        self._note()
        content, self._segments, warning = segments.read_archive(self.bucket)
        if warning:
            logger.warning("%s", warning)
        self._bring_up(content)

    def _noted(self) -> str:
        """Return the last driver of this folder."""
        if (note := _note_in(self.path)) is None:
            return ""
        if note.bucket != self.bucket.shown:
            raise ArchiveError(f"{self.path} is the working copy of {note.bucket}, not of {self.bucket}: remove it")
        return note.holder

    def _note(self) -> None:
        assert self._lock is not None
        self._lock.truncate(0)
        self._lock.write(msgspec.json.encode(_Note(bucket=self.bucket.shown, holder=self._lease.holder)))

    def _bring_up(self, content: bytes) -> None:
        try:
            local = read_file(self._file, MAX_ARCHIVE_BYTES) if self._file.exists() else b""
        except (OSError, ContentError) as error:
            raise ArchiveError(f"cannot read the archive {self._file}: {error}") from None
        local = local[: local.rfind(b"\n") + 1]
        if local.startswith(content):
            return
        if not content.startswith(local):
            aside = self._file.with_name(f"{self._file.stem}-before-{self._lease.generation}{self._file.suffix}")
            self._file.rename(aside)
            logger.warning(
                "another machine went on with this search without the last events here: %s has them, %s counts",
                *(aside, self.bucket),
            )
            local = b""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.truncate(len(local))
            file.seek(len(local))
            file.write(content[len(local) :])
            file.flush()
            os.fsync(file.fileno())

    def start(self, archive: Archive) -> None:
        """Upload from now on what is added to the archive; its ``failure`` says if that has to end."""
        self._archive = archive
        for thread in self._threads:
            thread.start()

    # --- during the search -------------------------------------------------------------------------------------------

    def later(self, name: str, action: Callable[[], None]) -> None:
        """Do something as soon as the bucket has all events up to now, in place of an earlier action of this name."""
        with self._later_lock:
            self._later[name] = self._size(), action

    def _beat(self) -> None:
        while not self._is_taken_over.is_set() and not self._released.wait(BEAT_SECONDS / 4):
            try:
                self._lease.beat()
            except BusyError as error:
                self._give_up(error)
            except StorageError as error:
                self._note_outage(error)

    def _replicate(self) -> None:
        while not self._ends.wait(POLL_SECONDS) and not self._is_taken_over.is_set():
            self._try(self._step)

    def _try(self, step: Callable[[], None]) -> bool:
        """Do something that an outage must not end; return whether it was done."""
        try:
            step()
        except BusyError as error:
            self._give_up(error)
        except StorageError as error:
            self._note_outage(error)
        except Exception as error:  # the end says what is missing
            logger.warning("%s lacks the last events for now: %s", self.bucket, one_line(error))
        else:
            return True
        return False

    def _step(self) -> None:
        while self._put_segment():
            pass
        if self._is_down:
            self._is_down = False
            logger.warning("%s has all events again", self.bucket)
        self._join_segments()
        self._do_later()
        if time.monotonic() >= self._next_mirror:
            self._upload_files()

    def _give_up(self, error: BusyError) -> None:
        logger.error("%s", error)
        self._is_taken_over.set()
        if self._archive is not None:
            self._archive.failure = ArchiveError(str(error))

    def _note_outage(self, error: StorageError) -> None:
        if not self._is_down:
            logger.warning("%s; the search goes on, and what the bucket lacks is kept in %s", error, self.path)
        self._is_down = True

    @property
    def _end(self) -> int:
        """The number of bytes of the archive that the bucket has."""
        return self._segments[-1].end if self._segments else 0

    def _size(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError:
            return 0

    def _put_segment(self) -> bool:
        """Upload the next lines; return whether there were any."""
        start = self._end
        if self._size() <= start or self._is_taken_over.is_set():
            return False
        with self._file.open("rb") as file:
            file.seek(start)
            content = file.read(MAX_SEGMENT_BYTES)
            if b"\n" not in content:
                content += file.readline()
        content = content[: content.rfind(b"\n") + 1]
        if content:
            segment = Segment(self._lease.generation, start, start + len(content))
            self.bucket.entry(segments.FOLDER).write(segment.name, content)
            self._segments.append(segment)
        return bool(content)

    def _join_segments(self) -> None:
        parts = segments.to_join(self._segments)
        if not parts:
            return
        self._lease.check()  # a driver that was cut off must not join what no longer counts
        joined = Segment(self._lease.generation, parts[0].start, parts[-1].end)
        with self._file.open("rb") as file:
            file.seek(joined.start)
            content = file.read(joined.end - joined.start)
        folder = self.bucket.entry(segments.FOLDER)
        folder.write(joined.name, content)
        self._segments[-len(parts) :] = [joined]
        for part in parts:
            if part != joined:
                folder.delete(part.name)

    def _do_later(self) -> None:
        with self._later_lock:
            ready = [(name, action) for name, (at, action) in self._later.items() if at <= self._end]
            for name, _ in ready:
                del self._later[name]
        for _, action in ready:
            try:
                action()
            except StorageError as error:  # a checkpoint that stays costs nothing but space
                logger.warning("%s", error)

    def _upload_files(self, *, all_files: bool = False) -> None:
        self._next_mirror = time.monotonic() + MIRROR_SECONDS
        self._mirror.upload(all_files=all_files)

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Upload what is left, and let the next driver begin; say what could not be uploaded."""
        self._ends.set()
        try:
            if self._archive is not None:
                self._threads[0].join(FLUSH_SECONDS)
                self._flush()
            self._released.set()
            if self._lease.generation and not self._is_taken_over.is_set():
                self._try(self._lease.release)
        finally:
            self._released.set()
            if self._lock is not None:
                self._lock.close()

    def _flush(self) -> None:
        until = time.monotonic() + FLUSH_SECONDS
        while not self._is_whole and not self._is_taken_over.is_set() and time.monotonic() < until:
            if not self._try(self._step):
                time.sleep(POLL_SECONDS)
        if self._is_taken_over.is_set():
            return
        if self._is_whole:
            self._try(lambda: self._upload_files(all_files=True))
            return
        logger.warning(
            "%s lacks the last %d bytes of the archive, which are in %s: run the same command again on this machine",
            *(self.bucket, self._size() - self._end, self._file),
        )

    @property
    def _is_whole(self) -> bool:
        with self._later_lock:
            return self._size() <= self._end and not self._later
