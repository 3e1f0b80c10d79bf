"""Tabular: answers a trial from a table of trained networks, so that a whole search takes seconds.

Tabular benchmarks are due to Ying et al., "NAS-Bench-101" (ICML 2019, arXiv:1902.09635).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from raynas.core.architecture import Architecture, Option
from raynas.core.metric import Metric, Needs
from raynas.core.space import SearchSpace
from raynas.metrics import METRICS, Metrics
from raynas.trials.checkpoint import State
from raynas.trials.runner import REPORTED, TrialRunner
from raynas.trials.settings import ArchitectureSettings, Cost, refuse_all
from raynas.trials.table import Table, read_table
from raynas.trials.trial import Trial
from raynas.user_code import split_reference
from raynas.validate import is_number, require


@dataclass(frozen=True, kw_only=True)
class Tabular(ArchitectureSettings):
    """Look each architecture up in a table, and report its metrics as a training would.

    With several fidelities a trial gives one report for each, so that early stopping can end it between two; metric
    ``epochs`` is the fidelity. Time is simulated: ``train_seconds`` comes from the table. NAS-Bench-201::

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
        arch: the column of the architecture; None for one column per decision, named as the decision, empty where it
            is inactive. CSV is read as text there: 007 is no number.
        read_arch: a function that converts an entry of that column to an architecture, or its name ``module:function``;
            None for raynas JSON.
        metrics: the column of each metric, by result key; ``{}`` in it is replaced by the fidelity.
        fidelities: number of epochs of each report, in rising order.
        scale: factor on the entries of a metric: 0.01 converts percent to a share.
        seconds: simulated training time: a column (``{}`` as above) of seconds up to that fidelity, or the seconds that
            one epoch takes, as a number or, where there are several fidelities, in a column without ``{}``; None for
            one second per epoch.

    Raises:
        ValueError: if a setting is out of its range, or a scale is given for a metric without a column.
    """

    table: str
    arch: str | None = "arch"
    read_arch: Callable[[Any], Mapping[str, Option]] | str | None = None
    metrics: Mapping[str, str] = field(default_factory=lambda: {"accuracy": "accuracy"}, hash=False)
    fidelities: tuple[int, ...] = (1,)
    scale: Mapping[str, float] = field(default_factory=dict, hash=False)
    seconds: float | str | None = None

    SUFFIXES: ClassVar[tuple[str, ...]] = (".csv", ".csv.gz", ".parquet", ".parquet.gz")

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "table must be the path of a file (pandas.DataFrame.to_csv writes one)"
        require(isinstance(self.table, str | Path), rule, type(self.table).__name__)
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
            self._check_reader(self.read_arch)

    @staticmethod
    def _check_reader(reader: object) -> None:
        if isinstance(reader, str):
            split_reference(reader)
        else:
            require(callable(reader), "read_arch must be a function or 'module:function'", reader)

    measures: ClassVar[frozenset[Needs]] = frozenset(("shapes",))
    """Only counts: a table comes from another machine, to which measurements on this one do not belong."""

    counts: ClassVar[Collection[str]] = ()
    """No network is built unless a metric is asked for that has no column."""

    @property
    def max_fidelity(self) -> int:
        """Number of reports of a trial."""
        return len(self.fidelities)

    def check_hyperparameters(self, names: Iterable[str]) -> None:
        """Refuse all: a table holds no hyperparameters.

        Raises:
            UnknownNameError: if there is any.
        """
        refuse_all("hyperparameter of a table", names)

    def load(self, space: SearchSpace) -> Table:
        """Read the file.

        Raises:
            DataError: if it cannot be read, lacks a column, or holds an entry that is no architecture of ``space``.
        """
        return read_table(self, space)

    def runner(self, space: SearchSpace, metrics: Metrics = ("accuracy",)) -> "TrialRunner[TabularTrial]":
        """Return what looks up architectures of ``space``; the table is read once, here, and no network is built."""
        inner = space.architecture_space
        make = partial(TabularTrial, table=self.load(inner))
        return TrialRunner(inner, self, make, metrics, counted=self.counts)

    @property
    def reports(self) -> frozenset[str] | None:
        """The metrics with a column, the epochs, and the simulated time."""
        return frozenset((*self.metrics, "epochs")) | REPORTED

    def costs(self, space: SearchSpace, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Cost]:
        """Return metrics that are known before training from the table; without a column, of the network."""
        listed = [name for name in self.metrics if name in metrics and metrics[name].measure]
        table = self.load(space) if listed else None
        others = {n: metric for n, metric in metrics.items() if n not in listed and metric.needs in self.measures}
        measured = super().costs(space, others)
        return {**measured, **({name: partial(table.value, name) for name in listed} if table else {})}


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
