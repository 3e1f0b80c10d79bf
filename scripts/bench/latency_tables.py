"""Tables of latencies measured: time to build one, error on whole networks left out, and back ends beside each other.

The networks that are left out are the same for every back end of a space. Tables are files in a folder, so a bench that
was stopped continues. A "limit" is the median latency on the first back end, in ms: a network disagrees if it meets the
limit on one back end and breaks it on the other; "own limits" are the medians of each.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.files.replacing import write_whole
from raynas.metrics.latency import latency
from raynas.metrics.latency_predictor import MODELS, DeviceLatencies, LatencyPredictor
from raynas.metrics.latency_predictor.error import prediction_error
from raynas.metrics.latency_table import LatencyTable, save_table
from raynas.metrics.latency_table.profile import profile_latency
from raynas.search_spaces import SEARCH_SPACES

SECONDS = "seconds"
"""Fact of a table: time that was spent on it, in all runs together, without the networks left out."""

MIN_COMPARED = 2
"""Number of networks that a correlation needs."""

MIN_LEARNED = 10
"""Number of networks that a predictor needs: two in each of its five folds."""


class Stopwatch:
    """The seconds that were spent on a table, in a file beside it.

    They are written while the table is made, so a run that is killed counts, except its last second.

    Args:
        path: of the table.
        n_corrected: number of networks that correct the table, with which it is finished.
        clock: gives seconds.
    """

    def __init__(self, path: Path, n_corrected: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path.with_suffix(".seconds")
        self._n_corrected, self._clock = n_corrected, clock
        stored = json.loads(self._path.read_text()) if self._path.exists() else {"seconds": 0.0, "finished_with": -1}
        self._is_finished = stored["finished_with"] == n_corrected
        self._before = self._written = float(stored["seconds"])
        self._began = clock()

    @property
    def seconds(self) -> float:
        """The seconds of all runs until the table was finished."""
        return self._before if self._is_finished else self._before + self._clock() - self._began

    def step(self, what: str, done: int, total: int) -> None:
        """Print the steps that are done, and write the time if a second has passed."""
        shown(what, done, total)
        seconds = self.seconds
        if seconds >= self._written + 1:
            self._write(seconds, -1)

    def finish(self) -> None:
        """Stop: the table is finished."""
        self._before, self._is_finished = self.seconds, True
        self._write(self._before, self._n_corrected)

    def _write(self, seconds: float, finished_with: int) -> None:
        write_whole(self._path, json.dumps({"seconds": seconds, "finished_with": finished_with}))
        self._written = seconds


def build(
    space: SearchSpace, backend: str, path: Path, n_corrected: int, n_left_out: int, *, n_threads: int
) -> LatencyTable:
    """Return a table, built if need be, whose facts hold the time that it took."""
    watch = Stopwatch(path, n_corrected)
    profile = partial(profile_latency, space, latency(backend), path=path, n_corrected=n_corrected, n_threads=n_threads)
    profile(n_left_out=0, report=watch.step)
    watch.finish()
    table = profile(n_left_out=n_left_out, report=shown)
    table = replace(table, facts={**table.facts, SECONDS: round(watch.seconds)})
    save_table(table, path)
    return table


def shown(what: str, done: int, total: int) -> None:
    """Print the steps that are done."""
    if done == total:
        print(f"{what}: {total}", flush=True)


def table_rows(tables: Mapping[str, LatencyTable]) -> Iterator[str]:
    """Yield a line for each table."""
    yield "| back end | operations | in doubt | built in, s | networks in doubt | sums as they are | corrected |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for backend, table in tables.items():
        doubtful = sum(bool(o.doubt) for o in table.operations.values())
        networks = [*table.corrected_by, *table.left_out]
        errors = f"{table.plain_error or '-'} | {table.error or '-'}"
        yield (
            f"| {backend} | {len(table.operations)} | {doubtful} | {table.facts[SECONDS]} "
            f"| {sum(bool(n.doubt) for n in networks)} of {len(networks)} | {errors} |"
        )


def pair_rows(tables: Mapping[str, LatencyTable]) -> Iterator[str]:
    """Yield a line for each pair of back ends, of the networks left out."""
    yield "| back ends | networks | Spearman | disagree about a limit | about own limits |"
    yield "| --- | --- | --- | --- | --- |"
    for one, other in combinations(tables, 2):
        times = {name: {n.arch: n.ms for n in tables[name].left_out} for name in (one, other)}
        archs = [arch for arch in times[one] if arch in times[other]]
        first, second = (np.array([times[name][arch] for arch in archs]) for name in (one, other))
        limit = np.median(first)
        disagree = ((first <= limit) != (second <= limit)).mean()
        own = ((first <= limit) != (second <= np.median(second))).mean()
        rank = spearmanr(first, second).statistic
        yield f"| {one}, {other} | {len(archs)} | {rank:.3f} | {disagree:.0%} | {own:.0%} |"


def predictor_rows(space: SearchSpace, tables: Mapping[str, LatencyTable], models: Sequence[str]) -> Iterator[str]:
    """Yield a line for each back end and model that learned from the networks left out, judged on the other ones."""
    yield "| back end | model | cross-validated | on other networks |"
    yield "| --- | --- | --- | --- |"
    for backend, table in tables.items():
        networks, others = table.left_out, table.corrected_by
        known = DeviceLatencies(device=backend, archs=[n.arch for n in networks], ms=[n.ms for n in networks])
        for model in models:
            predictor = LatencyPredictor.fit(space, known, model)
            predicted = predictor.predict([n.arch for n in others]).ms
            error = prediction_error(predicted, [n.ms for n in others], "networks of the correction")
            yield f"| {backend} | {model} | {predictor.error} | {error} |"


def parts(space: SearchSpace, tables: Mapping[str, LatencyTable], models: Sequence[str]) -> Iterator[Iterator[str]]:
    """Yield the lines of each part, those alone that there are networks enough for."""
    yield table_rows(tables)
    n_left_out = min((len(table.left_out) for table in tables.values()), default=0)
    n_corrected = min((len(table.corrected_by) for table in tables.values()), default=0)
    if n_left_out >= MIN_COMPARED:
        yield pair_rows(tables)
    if n_left_out >= MIN_LEARNED and n_corrected >= MIN_COMPARED:
        yield predictor_rows(space, tables, models)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--input_shape", type=int, nargs="*", default=None, help="default: that of the space")
    parser.add_argument("--backends", nargs="+", default=["eager", "onnxruntime", "executorch"])
    parser.add_argument("--folder", type=Path, required=True, help="of the tables")
    parser.add_argument("--corrected", type=int, default=40)
    parser.add_argument("--left_out", type=int, default=100)
    parser.add_argument("--n_threads", type=int, default=1)
    parser.add_argument("--models", nargs="*", default=[name for name in MODELS if name != "graph"])
    args = parser.parse_args(argv)
    sizes = {} if args.input_shape is None else {"input_shape": tuple(args.input_shape)}
    space = SEARCH_SPACES[args.space](**sizes)
    args.folder.mkdir(parents=True, exist_ok=True)
    tables = {}
    for backend in args.backends:
        path = args.folder / f"{args.space}-{backend}.json"
        try:
            tables[backend] = build(space, backend, path, args.corrected, args.left_out, n_threads=args.n_threads)
        except RaynasError as error:
            print(f"{backend} was left out: {error}")
    print(f"## {args.space}\n\n" + "\n\n".join("\n".join(rows) for rows in parts(space, tables, args.models)))


if __name__ == "__main__":
    main()
