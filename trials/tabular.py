"""Tabular: answers a trial from a table of trained networks, so that a whole search takes seconds.

Tabular benchmarks are due to Ying et al., "NAS-Bench-101" (ICML 2019, arXiv:1902.09635).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.errors import DataError, SpaceError, UnknownNameError, one_line
from raynas.metrics import untrained_metrics
from raynas.trials.checkpoint import State
from raynas.trials.runner import TrialRunner
from raynas.trials.settings import ArchitectureSettings
from raynas.trials.simulation import Trajectory, simulate
from raynas.trials.trial import Trial
from raynas.user_code import load_function, split_reference
from raynas.validate import is_number, require

__all__ = ["Table", "Tabular", "TabularTrial", "Trajectory", "drive", "simulate"]


@dataclass(frozen=True, kw_only=True)
class Tabular(ArchitectureSettings):
    """Look each architecture up in a table, and tell its metrics as a training would.

    With several fidelities a trial gives one report for each, so that early stopping can end it between two; metric
    ``epochs`` is the fidelity. Time is simulated: ``train_seconds`` is what the table says. NAS-Bench-201::

        Tabular(
            table="nb201_cifar10.csv.gz",
            arch="arch_str",
            read_arch="raynas.search_spaces.nasbench201:from_arch_str",
            metrics={"accuracy": "val_accuracy_epoch{}", "params": "params_M"},
            fidelities=(12, 200),
            scale={"accuracy": 0.01, "params": 1e6},
        )

    Args:
        table: the file, CSV or Parquet by its name; CSV may be compressed (.csv.gz).
        arch: the column of the architecture; None where there is one column per decision, named as the decision, empty
            where it is inactive.
        read_arch: ``module:function`` that makes an architecture of an entry of that column; None for raynas JSON.
        metrics: the column of each metric, by result key; ``{}`` in it stands for the fidelity.
        fidelities: in rising order, how many epochs each report stands for.
        scale: what the entries of a metric are multiplied by: 0.01 makes a share of percent.
        seconds: simulated training time: a column (``{}`` as above) of seconds up to that fidelity, or the seconds that
            one epoch takes, as a number or, where there are several fidelities, in a column without ``{}``; None for
            one second per epoch.

    Raises:
        ValueError: if a setting is out of its range, or a scale is given for a metric without a column.
    """

    table: str
    arch: str | None = "arch"
    read_arch: str | None = None
    metrics: Mapping[str, str] = field(default_factory=lambda: {"accuracy": "accuracy"}, hash=False)
    fidelities: tuple[int, ...] = (1,)
    scale: Mapping[str, float] = field(default_factory=dict, hash=False)
    seconds: float | str | None = None

    SUFFIXES: ClassVar[tuple[str, ...]] = (".csv", ".csv.gz", ".parquet", ".parquet.gz")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(str(self.table).endswith(self.SUFFIXES), f"table must end in {', '.join(self.SUFFIXES)}", self.table)
        require(bool(self.metrics), "metrics must name a column for each metric, at least one", dict(self.metrics))
        rising = list(self.fidelities) == sorted(set(self.fidelities)) and min(self.fidelities, default=0) >= 1
        require(rising, "fidelities must be whole numbers of at least 1, in rising order", self.fidelities)
        for name, factor in self.scale.items():
            require(name in self.metrics, f"scale is for {', '.join(self.metrics)}", name)
            require(is_number(factor) and factor > 0, f"scale of {name} must be greater than 0", factor)
        if isinstance(self.seconds, int | float):
            require(is_number(self.seconds) and self.seconds > 0, "seconds must be greater than 0", self.seconds)
        if self.read_arch is not None:
            require(self.arch is not None, "read_arch needs the column arch that it reads", self.arch)
            split_reference(self.read_arch)

    @property
    def max_fidelity(self) -> int:
        """How many reports a trial gives."""
        return len(self.fidelities)

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """A table knows of none."""
        for name in names:
            raise UnknownNameError("hyperparameter of a table", name, ())

    def load(self, space: SearchSpace) -> "Table":
        """Read the file.

        Raises:
            DataError: if it cannot be read, lacks a column, or holds an entry that is no architecture of ``space``.
        """
        return Table.read(self, space)

    def runner(self, space: SearchSpace, metrics: Sequence[str] = ("accuracy",)) -> "TrialRunner[TabularTrial]":
        """Return what looks up architectures of ``space``; the table is read once, here, and no network is built."""
        inner = space.architecture_space
        make = partial(TabularTrial, table=self.load(inner))
        return TrialRunner(inner, self, make, metrics, measured=())

    def costs(self, space: SearchSpace) -> dict[str, Callable[[Architecture], float]]:
        """Parameters, MACs and latency as the table has them; without a column, the first two from the network."""
        told = [name for name in ("params", "macs", "latency_ms") if name in self.metrics]
        table = self.load(space) if told else None
        measured = untrained_metrics(space, [name for name in ("params", "macs") if name not in told])
        return {**measured, **({name: partial(table.value, name) for name in told} if table else {})}


class Table:
    """Metrics of architectures at each fidelity, in memory.

    Args:
        name: what messages call it.
        rows: the row of each architecture.
        values: ``(n_rows, n_fidelities)`` by metric, NaN where it is unknown.
        fidelities: what the columns stand for.
    """

    def __init__(
        self,
        name: str,
        rows: Mapping[Architecture, int],
        values: Mapping[str, NDArray[np.float64]],
        fidelities: Sequence[int],
    ) -> None:
        self.name, self.rows, self.values, self.fidelities = name, rows, values, tuple(fidelities)

    @classmethod
    def read(cls, settings: Tabular, space: SearchSpace) -> "Table":
        """See ``Tabular.load``."""
        frame = _frame(settings.table)
        name = Path(settings.table).name

        def column(title: str) -> NDArray[np.float64]:
            if title not in frame:
                raise DataError(f"{name} has no column {title!r}; it has {', '.join(map(str, frame.columns))}")
            try:
                return np.asarray(frame[title], dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise DataError(f"{name}: column {title!r} must hold numbers: {one_line(error)}") from None

        def columns(title: str) -> NDArray[np.float64]:
            return np.stack([column(title.replace("{}", str(fidelity))) for fidelity in settings.fidelities], axis=1)

        values = {key: columns(title) * settings.scale.get(key, 1.0) for key, title in settings.metrics.items()}
        values["epochs"] = np.tile(np.asarray(settings.fidelities, dtype=np.float64), (len(frame), 1))
        seconds = settings.seconds
        if isinstance(seconds, str):
            per_epoch = "{}" not in seconds and len(settings.fidelities) > 1
            values["train_seconds"] = columns(seconds) * (values["epochs"] if per_epoch else 1.0)
        else:
            values["train_seconds"] = values["epochs"] * (seconds or 1.0)
        return cls(name, _rows(frame, settings, space, name), values, settings.fidelities)

    def __len__(self) -> int:
        return len(self.rows)

    def reports(self, arch: Architecture) -> list[dict[str, float]]:
        """The metrics of an architecture, one report per fidelity.

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
        """A metric at the highest fidelity.

        Raises:
            DataError: if the table lacks the architecture.
        """
        return float(self.values[metric][self._row(arch), -1])

    def shuffled(self, metric: str, seed: int = 0) -> "Table":
        """The same table with a metric dealt out to other architectures at random: nothing can be learned from it."""
        order = np.random.default_rng(seed).permutation(len(self.values[metric]))
        return Table(self.name, self.rows, {**self.values, metric: self.values[metric][order]}, self.fidelities)

    def _row(self, arch: Architecture) -> int:
        row = self.rows.get(arch)
        if row is None:
            raise DataError(f"{self.name} has no row for {dict(arch)}")
        return row


def _frame(path: str) -> pd.DataFrame:
    try:
        if ".parquet" in Path(path).suffixes[-2:]:
            return pd.read_parquet(path)
        return pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"table {path} does not exist") from None
    except Exception as error:
        raise DataError(f"table {path} cannot be read: {one_line(error)}") from None


def _rows(frame: pd.DataFrame, settings: Tabular, space: SearchSpace, name: str) -> dict[Architecture, int]:
    rows: dict[Architecture, int] = {}
    for row, entry in enumerate(_entries(frame, settings, space, name)):
        try:
            arch = space.canonical(entry())
        except Exception as error:
            raise DataError(f"{name}, row {row + 1}: {one_line(error)}") from None
        if rows.setdefault(arch, row) != row:
            raise DataError(f"{name}: rows {rows[arch] + 1} and {row + 1} are the same architecture, {dict(arch)}")
    return rows


def _entries(
    frame: pd.DataFrame, settings: Tabular, space: SearchSpace, name: str
) -> Iterator[Callable[[], Mapping[str, Option]]]:
    """What makes the architecture of each row."""
    wanted = [settings.arch] if settings.arch is not None else [decision.name for decision in space.decisions]
    if missing := [title for title in wanted if title not in frame]:
        raise DataError(f"{name} has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}")
    if settings.arch is None:
        spelt = [{_spelling(option): option for option in decision.options} for decision in space.decisions]
        for values in frame[wanted].itertuples(index=False, name=None):
            yield partial(_from_columns, wanted, spelt, values)
        return
    read = load_function(settings.read_arch) if settings.read_arch else Architecture.from_json
    for entry in frame[settings.arch]:
        yield partial(read, entry)


def _from_columns(
    names: Sequence[str], spelt: Sequence[Mapping[str, Option]], values: Sequence[Any]
) -> dict[str, Option]:
    """An architecture of one column per decision; CSV does not keep types."""
    given = [(n, s, v) for n, s, v in zip(names, spelt, values, strict=True) if not pd.isna(v)]
    return {n: s.get(_spelling(v), v) for n, s, v in given}


def _spelling(value: Any) -> str:
    """One text for 3, 3.0 and "3"."""
    try:
        return repr(float(value)) if not isinstance(value, bool | np.bool_) else str(value)
    except (TypeError, ValueError):
        return str(value)


class TabularTrial(Trial[Tabular]):
    """Reports the entries of one architecture, one report per fidelity.

    Args:
        space: the space of the architecture.
        settings: those of the table.
        table: its content.
    """

    def __init__(self, space: SearchSpace, settings: Tabular, *, table: Table) -> None:
        super().__init__(space, settings)
        self.table = table

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        """Look the architecture up."""
        self.reports = self.table.reports(arch)

    def advance(self) -> Mapping[str, float]:
        """Return the next report."""
        return self.reports[self.epoch]

    def state(self) -> State:
        """Return an empty state: the epoch suffices."""
        return {}

    def load_state(self, state: State) -> None:
        """Restore nothing: the epoch suffices."""
        return


def drive(
    strategy: Any,
    table: "Tabular | Table",
    space: SearchSpace,
    n: int,
    seeds: Iterable[int] = (0,),
    *,
    objectives: Any = "accuracy",
    constraints: Any = (),
    n_workers: int = 1,
) -> list[Trajectory]:
    """Run whole searches against a table, without a cluster and in simulated time.

    Early stopping, where the strategy has one, decides after each report, as Tune would ask it.

    Args:
        strategy: any ``Strategy``.
        table: the settings of a table, or a table that is loaded already.
        space: what is searched.
        n: evaluations per search, those that were stopped early included.
        seeds: one search for each.
        objectives: what for; see ``Strategy.searcher``.
        constraints: likewise; metrics of the table are known before a trial, if they are params, macs or latency_ms.
        n_workers: how many trials run at a time, in simulated time.

    Raises:
        DataError: if the table cannot be read.
        RaynasError: if the early stopping is one that pauses trials.
    """
    loaded = table.load(space) if isinstance(table, Tabular) else table
    costs = {name: partial(loaded.value, name) for name in ("params", "macs", "latency_ms") if name in loaded.values}
    trajectories = []
    strategy = strategy.for_budget(n)
    for seed in seeds:
        searcher = strategy.searcher(space, objectives, constraints, seed=seed, costs=costs)
        scheduler = strategy.scheduler(searcher.goal.first, len(loaded.fidelities))
        trajectories.append(simulate(searcher, partial(_answers, loaded), n, scheduler, n_workers=n_workers, seed=seed))
    return trajectories


def _answers(table: Table, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of a trial, as ``TabularTrial`` would give them."""
    try:
        reports = table.reports(Architecture.from_config(config))
    except (DataError, SpaceError) as error:
        return [{"failed": 1, "error": one_line(error), "training_iteration": 0, "train_seconds": 0.0}]
    last = len(reports)
    return [{**r, "training_iteration": i, "complete": int(i == last)} for i, r in enumerate(reports, 1)]
