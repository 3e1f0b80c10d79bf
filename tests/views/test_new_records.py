"""Records of a growing archive, read once."""

from collections.abc import Iterator

from raynas.core.archive import Archive, Record
from raynas.views.progress.state import SearchState
from tests.views.progress.searches import add


def test_each_record_is_read_once() -> None:
    class Counted(Archive):
        n_read = 0

        def __iter__(self) -> Iterator[Record]:
            for record in super().__iter__():
                self.n_read += 1
                yield record

    archive = Counted()
    shown = SearchState(archive, 100)
    for i in range(50):
        add(archive, str(i), accuracy=0.5)
        shown.update(archive)
    assert archive.n_read == 100
