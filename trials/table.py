"""Table: metrics of trained networks at each fidelity, in memory, and how they are read from a file."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raynas.core.architecture import Architecture, Option
from raynas.core.extended_space import network_part, network_space
from raynas.core.space import SearchSpace
from raynas.errors import DataError, one_line
from raynas.files.content import check_file
from raynas.files.unpacked import MAX_UNPACKED_BYTES, check_ratio, read_gzip
from raynas.user_code import load_function

if TYPE_CHECKING:
    from raynas.trials.tabular import Tabular

Columns = NDArray[np.float64]
"""Shape ``(n_rows, n_fidelities)``; NaN where unknown."""


class Table:
    """Metrics of architectures at each fidelity.

    Args:
        name: its name in messages.
        rows: the row of each architecture.
        values: ``(n_rows, n_fidelities)`` by metric, NaN where unknown.
        fidelities: the fidelity of each column.
        network: the part of an architecture that the rows tell apart; by default all of it.
    """

    def __init__(
        self,
        name: str,
        rows: Mapping[Architecture, int],
        values: Mapping[str, Columns],
        fidelities: Sequence[int],
        network: Callable[[Architecture], Architecture] | None = None,
    ) -> None:
        self.name, self.rows, self.values, self.fidelities = name, rows, values, tuple(fidelities)
        self.network = network

    def __len__(self) -> int:
        return len(self.rows)

    def reports(self, arch: Architecture) -> list[dict[str, float]]:
        """Return the metrics of an architecture, one report per fidelity.

        Raises:
            DataError: if the table lacks it, or one of its entries.
        """
        row = self._row(arch)
        reports = []
        for i, fidelity in enumerate(self.fidelities):
            report = {name: float(values[row, i]) for name, values in self.values.items()}
            if empty := [name for name, value in report.items() if not math.isfinite(value)]:
                raise DataError(f"{self.name} holds no {empty[0]} of {dict(arch)} at fidelity {fidelity}")
            reports.append(report)
        return reports

    def value(self, metric: str, arch: Architecture) -> float:
        """Return a metric at the highest fidelity.

        Raises:
            DataError: if the table lacks the architecture.
        """
        return float(self.values[metric][self._row(arch), -1])

    def shuffled(self, metric: str, seed: int = 0) -> "Table":
        """Return the table with a metric permuted among the architectures, so that nothing can be learned from it."""
        order = np.random.default_rng(seed).permutation(len(self.values[metric]))
        return Table(
            self.name, self.rows, {**self.values, metric: self.values[metric][order]}, self.fidelities, self.network
        )

    def _row(self, arch: Architecture) -> int:
        row = self.rows.get(self.network(arch) if self.network else arch)
        if row is None:
            raise DataError(f"{self.name} has no row for {dict(arch)}")
        return row


def read_table(settings: "Tabular", space: SearchSpace) -> Table:
    """Read the file that the settings name.

    Raises:
        DataError: if it cannot be read, lacks a column, or holds an entry that is no architecture of ``space``.
    """
    networks = network_space(space)  # a row holds for every accelerator
    file = _File(settings.table, [d.name for d in networks.decisions] if settings.arch is None else [settings.arch])
    columns = partial(file.columns, fidelities=settings.fidelities)
    values = {key: columns(title) * settings.scale.get(key, 1.0) for key, title in settings.metrics.items()}
    epochs = np.tile(np.asarray(settings.fidelities, dtype=np.float64), (len(file.frame), 1))
    if isinstance(settings.seconds, str):
        per_epoch = "{}" not in settings.seconds and len(settings.fidelities) > 1
        seconds = columns(settings.seconds) * (epochs if per_epoch else 1.0)
    else:
        seconds = epochs * (settings.seconds or 1.0)
    values |= {"epochs": epochs, "train_seconds": seconds}
    return Table(file.name, file.rows(settings, networks), values, settings.fidelities, partial(network_part, space))


def _read_frame(path: Path, texts: Sequence[str]) -> pd.DataFrame:
    """Read a CSV or Parquet file, once its size in memory is known to be plausible.

    Args:
        path: the file.
        texts: the columns that are text in a CSV, whatever they look like: pandas makes 7 of 007, and nothing of "NA".

    Raises:
        Exception: if it cannot be read.
    """
    check_file(path, MAX_UNPACKED_BYTES)
    if ".parquet" in path.suffixes[-2:]:
        return _read_parquet(path)
    content = read_gzip(path) if path.suffix == ".gz" else path.read_bytes()
    content.decode()  # else pandas would find out at the first use of a column
    as_text = pd.read_csv(BytesIO(content), usecols=lambda name: name in texts, dtype=str, keep_default_na=False)
    others = pd.read_csv(BytesIO(content), usecols=lambda name: name not in texts)
    if not all(isinstance(frame.index, pd.RangeIndex) for frame in (as_text, others)):
        raise ValueError("a row has more values than there are columns")  # pandas would name the rows by the first ones
    return pd.concat([as_text, others], axis=1)


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    n_bytes = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    check_ratio(path.stat().st_size, max(n_bytes, about.num_rows * about.num_columns))
    return pd.read_parquet(path)


class _File:
    """Content of a CSV or Parquet file.

    Args:
        path: the file.
        texts: see ``_read_frame``.

    Raises:
        DataError: if it cannot be read.
    """

    def __init__(self, path: str, texts: Sequence[str]) -> None:
        self.name = Path(path).name
        try:
            self.frame = _read_frame(Path(path), texts)
        except FileNotFoundError:
            raise DataError(f"table {path} does not exist") from None
        except Exception as error:  # of pandas and pyarrow, which raise what their input makes of it
            raise DataError(f"table {path} cannot be read: {one_line(error)}") from None

    def columns(self, title: str, fidelities: Sequence[int]) -> Columns:
        """Return the column of each fidelity; ``{}`` in the title is replaced by it."""
        titles = [title.replace("{}", str(fidelity)) for fidelity in fidelities]
        self._check(titles)
        return np.stack([self._numbers(each) for each in titles], axis=1)

    def _check(self, titles: Sequence[str]) -> None:
        if missing := [title for title in titles if title not in self.frame]:
            has = ", ".join(" ".join(str(column).split()) for column in self.frame.columns)
            raise DataError(f"{self.name} has no column {missing[0]!r}; it has {has}")

    def _numbers(self, title: str) -> NDArray[np.float64]:
        try:
            return np.asarray(self.frame[title], dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{self.name}: column {title!r} must hold numbers: {one_line(error)}") from None

    def rows(self, settings: "Tabular", space: SearchSpace) -> dict[Architecture, int]:
        """Return the row of each architecture."""
        rows: dict[Architecture, int] = {}
        for row, entry in enumerate(self._entries(settings, space)):
            try:
                arch = space.canonical(entry())
            except Exception as error:
                raise DataError(f"{self.name}, row {row + 1}: {one_line(error)}") from None
            if (earlier := rows.setdefault(arch, row)) != row:
                pair = f"rows {earlier + 1} and {row + 1}"
                raise DataError(f"{self.name}: {pair} are the same architecture, {dict(arch)}")
        return rows

    def _entries(self, settings: "Tabular", space: SearchSpace) -> Iterator[Callable[[], Mapping[str, Option]]]:
        """Yield for each row a function that makes its architecture."""
        names = [decision.name for decision in space.decisions]
        self._check(names if settings.arch is None else [settings.arch])
        if settings.arch is None:
            spelt = [_Spelt(decision.options) for decision in space.decisions]
            for values in self.frame[names].itertuples(index=False, name=None):
                yield partial(_from_columns, names, spelt, values)
            return
        given = settings.read_arch
        read = load_function(given) if isinstance(given, str) else given or Architecture.from_json
        for entry in self.frame[settings.arch]:
            yield partial(read, entry)


class _Spelt:
    """Options of a decision by the ways in which a file may spell them.

    Args:
        options: the options; none of a continuous decision.
    """

    def __init__(self, options: Sequence[Option]) -> None:
        self._exact = {_text(option): option for option in options}
        times = Counter(map(_spelling, options))
        self._loose = {_spelling(option): option for option in options if times[_spelling(option)] == 1}

    def is_inactive(self, value: Option) -> bool:
        """Return True if a field is empty, and no option is spelt so."""
        return not _text(value) and "" not in self._exact

    def option(self, value: Option) -> Option:
        """Return the option that a field means; the field itself if it means none."""
        if not self._exact:
            return float(value)
        return self._exact.get(_text(value), self._loose.get(_spelling(value), value))


def _from_columns(names: Sequence[str], spelt: Sequence[_Spelt], values: Sequence[Option]) -> dict[str, Option]:
    """Return the architecture of one column per decision; CSV does not keep types."""
    return {n: s.option(v) for n, s, v in zip(names, spelt, values, strict=True) if not s.is_inactive(v)}


def _text(value: object) -> str:
    """Return a field as CSV holds it; None and NaN are empty."""
    return "" if value is None or value != value else str(value)


def _spelling(value: object) -> str:
    """Return the same text for 3, 3.0 and "3", and for True and "TRUE"."""
    text = _text(value)
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        return repr(float(text))
    except ValueError:
        return text
