"""Segments: the archive of a search in a bucket, in numbered files that are never changed.

A segment holds whole lines of the archive, from one byte to another, and its name says so:
``archive/GENERATION-START-END.jsonl``. Each driver has its own generation, larger than those before. A driver that
was cut off, and still writes while another has taken over, has the smaller one: where two segments begin at the same
byte the later driver's counts, and what follows must be of its generation or a later one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raynas.core.archive_file import parse_records
from raynas.core.archive_schema import MAX_ARCHIVE_BYTES
from raynas.errors import ArchiveError, ContentError
from raynas.storage.bucket import Bucket

FOLDER = "archive"
"""Name of the folder of the segments."""

FAN_OUT = 32
"""Least number of segments that are joined to one."""

SMALL_BYTES = 2**16
"""Size up to which it costs nothing worth mentioning to upload a segment again."""

_NAME = re.compile(r"(\d{6})-(\d{13})-(\d{13})\.jsonl")


@dataclass(frozen=True, order=True)
class Segment:
    """Bytes ``start`` to ``end`` of an archive, as a driver of a generation has written them."""

    generation: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.generation:06d}-{self.start:013d}-{self.end:013d}.jsonl"

    @classmethod
    def named(cls, name: str) -> "Segment | None":
        """Return the segment that a file holds; None for another file."""
        found = _NAME.fullmatch(name)
        segment = cls(*map(int, found.groups())) if found else None
        return segment if segment and segment.start < segment.end else None


def listed(bucket: Bucket) -> list[Segment]:
    """Return the segments in the folder of a search, in no order.

    Raises:
        StorageError: if they cannot be listed.
    """
    return [segment for name in bucket.entry(FOLDER).files() if (segment := Segment.named(name))]


def chain(segments: Iterable[Segment], where: object = "the archive") -> list[Segment]:
    """Return the segments that make up an archive, in their order.

    Args:
        segments: all that are there, also those that were joined to others, or written by a driver that was cut off.
        where: says in an error where they are.

    Raises:
        ArchiveError: if one is missing between others.
    """
    starting: dict[int, list[Segment]] = defaultdict(list)
    for segment in segments:
        starting[segment.start].append(segment)
    found: list[Segment] = []
    at, generation = 0, 0
    while usable := [segment for segment in starting[at] if segment.generation >= generation]:
        found.append(max(usable, key=lambda segment: (segment.generation, segment.end)))
        at, generation = found[-1].end, found[-1].generation
    beyond = [s.start for group in starting.values() for s in group if s.start > at and s.generation >= generation]
    if beyond:
        raise ArchiveError(
            f"{where} lacks the segment that begins at byte {at}, while there is a later one at {min(beyond)}: "
            "bring it back, or remove the later ones, which is to lose them"
        )
    return found


def read_archive(bucket: Bucket) -> tuple[bytes, list[Segment], str]:
    """Return the archive in the folder of a search, its segments, and a warning if the last was damaged.

    Raises:
        ArchiveError: if a segment is missing, damaged before the last, or all are too large.
        StorageError: if one cannot be read.
    """
    found = chain(listed(bucket), bucket.entry(FOLDER))
    if found and found[-1].end > MAX_ARCHIVE_BYTES:
        raise ArchiveError(f"the archive in {bucket} has more than {MAX_ARCHIVE_BYTES} bytes")
    parts: list[bytes] = []
    for segment in found:
        try:
            parts.append(_read(bucket, segment))
        except (ArchiveError, ContentError, FileNotFoundError) as error:
            if segment != found[-1]:
                raise ArchiveError(f"the archive in {bucket} is damaged before its end: {error}") from None
            return b"".join(parts), found[:-1], f"{error}; the events in it are lost, and done again"
    return b"".join(parts), found, ""


def _read(bucket: Bucket, segment: Segment) -> bytes:
    folder, size = bucket.entry(FOLDER), segment.end - segment.start
    content = folder.read(segment.name, size)
    if len(content) != size or not content.endswith(b"\n"):
        raise ContentError(f"{folder}/{segment.name} is not whole")
    parse_records(content, f"{folder}/{segment.name}")
    return content


def to_join(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Return the last segments that should become one, if there are enough of them.

    None of them is larger than all that follow it together, apart from small ones. So an archive has few segments, as
    their number grows with the logarithm of its size, and a byte is uploaded again only when what holds it has doubled.
    """
    n, after = 0, 0
    for segment in reversed(segments):
        size = segment.end - segment.start
        if size > max(after, SMALL_BYTES):
            break
        n, after = n + 1, after + size
    return segments[-n:] if n >= FAN_OUT else []
