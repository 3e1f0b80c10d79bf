"""Lease: a file in the folder of a search in a bucket, by which one driver at a time writes there.

No clock of another machine is trusted: a driver counts up a number in the file, and one that finds the number at rest
for long enough takes over. A bucket has no operation that compares and writes at once, so two drivers that start within
the same moment may both believe to hold it; the one whose file was overwritten notices at its next beat, and ends.
"""

import logging
import os
import socket
import time
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from msgspec import Meta
from msgspec.json import Decoder

from raynas.errors import BusyError, ContentError
from raynas.files.content import decode_json
from raynas.storage.bucket import Bucket

logger = logging.getLogger(__name__)

FILE = "driver.json"

BEAT_SECONDS = 5.0
"""Time between two beats of a driver."""

QUIET_SECONDS = 30.0
"""Time without a beat after which a driver is taken to be gone."""

CONFIRM_SECONDS = 0.5
"""Time after which a driver looks whether the lease is still its own, before it begins."""

POLL_SECONDS = 1.0

MAX_BYTES = 2**12

_Number = Annotated[int, Meta(ge=0, lt=10**6)]


class _Held(msgspec.Struct):
    holder: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    generation: _Number
    beat: Annotated[int, Meta(ge=0)]
    host: Annotated[str, Meta(max_length=300)]


_HELD: "Decoder[Any]" = Decoder(_Held)


class Lease:
    """The right to write to a folder in a bucket.

    Args:
        bucket: the folder.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.holder = uuid4().hex
        self.generation = 0
        self._beat = 0
        self._until = 0.0

    def take(self, earlier: str, last_generation: int) -> None:
        """Wait until nobody holds the lease, and take it.

        Args:
            earlier: holder that is known to be gone, such as the last driver of this machine; "" for none.
            last_generation: largest generation that has written.

        Raises:
            BusyError: if another driver holds it, and beats.
            StorageError: if the bucket cannot be read or written.
        """
        content = self._read()
        found = self._decoded(content)
        if content is not None and (found is None or found.holder != earlier):
            logger.warning(
                "another driver (%s) was writing to %s: it is taken over if it stays silent for %.0f s",
                *(found.host if found else "unknown", self._bucket, QUIET_SECONDS),
            )
            self._wait_for_silence(content)
        self.generation = max(found.generation if found else 0, last_generation) + 1
        self._write()
        time.sleep(CONFIRM_SECONDS)
        self.check()

    def _wait_for_silence(self, content: bytes) -> None:
        until = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < until:
            time.sleep(min(POLL_SECONDS, QUIET_SECONDS / 4))
            now = self._read()
            if now is None:
                return
            if now != content:
                found = self._decoded(now)
                raise BusyError(
                    f"another driver ({found.host if found else 'unknown'}) runs this search in {self._bucket}: "
                    "wait for its end, or choose another name"
                )

    def check(self) -> None:
        """Make sure that the lease is still this driver's.

        Raises:
            BusyError: if it is not.
            StorageError: if that cannot be read.
        """
        found = self._decoded(self._read())
        if found and found.holder != self.holder:
            raise BusyError(
                f"another driver ({found.host}) has taken over this search in {self._bucket}, as this one was silent "
                "or started at the same moment; this one ends"
            )

    def beat(self) -> None:
        """Show that this driver lives, if it is time to.

        Raises:
            BusyError: if another driver has taken over.
            StorageError: if the bucket cannot be read or written.
        """
        if time.monotonic() >= self._until:
            self.check()
            self._write()

    def release(self) -> None:
        """Let the next driver begin at once.

        Raises:
            StorageError: if the bucket cannot be read or written.
        """
        found = self._decoded(self._read())
        if found and found.holder == self.holder:
            self._bucket.delete(FILE)

    def _read(self) -> bytes | None:
        try:
            return self._bucket.read(FILE, MAX_BYTES)
        except FileNotFoundError:
            return None

    def _decoded(self, content: bytes | None) -> _Held | None:
        """Return what a lease says; None for one that a driver has written only in part."""
        try:
            return None if content is None else msgspec.convert(decode_json(content, _HELD), _Held)
        except ContentError:
            return None

    def _write(self) -> None:
        self._beat += 1
        host = f"{socket.gethostname()[:200]}, process {os.getpid()}"
        held = _Held(holder=self.holder, generation=self.generation, beat=self._beat, host=host)
        self._bucket.write(FILE, msgspec.json.encode(held))
        self._until = time.monotonic() + BEAT_SECONDS
