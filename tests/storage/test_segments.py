from pathlib import Path

import pytest

from raynas.core.archive import Archive
from raynas.errors import ArchiveError
from raynas.storage import segments
from raynas.storage.bucket import Bucket
from raynas.storage.segments import Segment, chain, read_archive, to_join
from tests.flaky_storage import flaky


def test_names_say_what_a_segment_holds() -> None:
    segment = Segment(3, 17, 90)
    assert segment.name == "000003-0000000000017-0000000000090.jsonl" and Segment.named(segment.name) == segment
    for name in ("", "x.jsonl", segment.name + "x", Segment(1, 5, 5).name, "../" + segment.name):
        assert Segment.named(name) is None


def test_a_chain_is_in_order_and_the_longest_counts() -> None:
    parts = [Segment(1, 0, 10), Segment(1, 10, 20), Segment(2, 20, 30)]
    assert chain(reversed(parts)) == parts
    joined = Segment(2, 0, 20)
    assert chain([*parts, joined]) == [joined, parts[2]], "the joined one and its parts, as a kill leaves them"
    assert chain([]) == []


def test_a_driver_that_was_cut_off_does_not_count() -> None:
    first, late, later = Segment(1, 0, 10), Segment(1, 10, 25), Segment(1, 25, 30)
    new = [Segment(2, 10, 17), Segment(2, 17, 25)]
    assert chain([first, late, later]) == [first, late, later]
    assert chain([first, late, later, *new]) == [first, *new], "also where both reach the same byte"


@pytest.mark.parametrize("given", [[Segment(1, 10, 20)], [Segment(1, 0, 10), Segment(2, 20, 30)]])
def test_a_gap_is_said(given: list[Segment]) -> None:
    with pytest.raises(ArchiveError, match=r"x lacks the segment that begins at byte \d+, .* later one at \d+"):
        chain(given, "x")


def test_a_long_search_leaves_few_segments() -> None:
    kept: list[Segment] = []
    end, uploaded = 0, 0
    for n in range(5_000):
        size = 40_000 if n % 31 == 0 else 300
        kept.append(Segment(1, end, end + size))
        end += size
        if parts := to_join(kept):
            kept[-len(parts) :] = [Segment(1, parts[0].start, parts[-1].end)]
            uploaded += kept[-1].end - kept[-1].start
        assert chain(kept) == kept
    assert len(kept) < 2 * segments.FAN_OUT
    assert uploaded < 20 * end


def lines(n: int) -> list[bytes]:
    archive = Archive()
    for k in range(n):
        archive.append("waited", trial=str(k))
    return [line.encode() for line in archive._lines()]


def stored(folder: Path, content: bytes, cuts: list[int]) -> Bucket:
    bucket = Bucket(flaky(folder), "there", "test:there")
    for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        bucket.entry(segments.FOLDER).write(Segment(1, start, end).name, content[start:end])
    return bucket


def test_the_archive_is_what_its_segments_hold(tmp_path: Path) -> None:
    parts = lines(6)
    content = b"".join(parts)
    bucket = stored(tmp_path, content, [len(b"".join(parts[:2])), len(b"".join(parts[:3]))])
    found, chained, warning = read_archive(bucket)
    assert (found, len(chained), warning) == (content, 3, "")


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"x" * 10, b'{"event": "no such"}\n'])
def test_a_damaged_last_segment_loses_only_itself(tmp_path: Path, damage: bytes) -> None:
    parts = lines(4)
    content, cut = b"".join(parts), len(b"".join(parts[:3]))
    bucket = stored(tmp_path, content, [len(parts[0]), cut])
    names = sorted((tmp_path / "there" / "archive").iterdir())
    names[-1].write_bytes(damage)
    found, chained, warning = read_archive(bucket)
    assert found == content[:cut] and chained[-1].end == cut
    assert names[-1].name in warning and "done again" in warning
    names[0].write_bytes(damage)
    with pytest.raises(ArchiveError, match="test:there is damaged before its end"):
        read_archive(bucket)


def test_a_segment_with_a_line_of_no_schema_is_damaged_though_its_size_is_right(tmp_path: Path) -> None:
    parts = lines(2)
    bucket = stored(tmp_path, b"".join(parts), [len(parts[0])])
    name = sorted((tmp_path / "there" / "archive").iterdir())[-1]
    name.write_bytes(b"x" * (len(parts[1]) - 1) + b"\n")
    assert read_archive(bucket)[0] == parts[0]


def test_an_archive_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(lines(3))
    bucket = stored(tmp_path, content, [])
    monkeypatch.setattr(segments, "MAX_ARCHIVE_BYTES", 10)
    with pytest.raises(ArchiveError, match="has more than 10 bytes"):
        read_archive(bucket)
