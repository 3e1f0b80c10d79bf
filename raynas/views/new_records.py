"""The records of an archive since a view last read it."""

from collections.abc import Iterator

from raynas.core.archive import Archive, Record


class NewRecords:
    """Reads each record of a growing archive once."""

    def __init__(self) -> None:
        self.n_read = 0
        self._records: Iterator[Record] = iter(())

    def read(self, archive: Archive) -> Iterator[Record]:
        """Yield the records that were added since the last call.

        Args:
            archive: the same at each call.
        """
        if not self.n_read:
            self._records = iter(archive)
        while self.n_read < len(archive):  # asked for no more than there are, the iterator of a list stays usable
            self.n_read += 1
            yield next(self._records)
