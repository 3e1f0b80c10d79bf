"""CPU milliseconds of a network's latency from a table whose outcomes of operations are kept, against forgotten ones.

For each space, draws networks and makes a table of their operations; the times in it are made up, as they do not matter
here. Each network is built, and its latency is summed twice, now one first and now the other: by the table, which keeps
the outcomes of operations between networks, and by a copy that knows none. Printed are the means after a quarter of the
networks as a warm-up. The ratio is that of a latency with its network built.

    python scripts/bench/table_sums.py --spaces mobilenetv3 nasbench201 --archs 80
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from raynas.core.architecture import Architecture
from raynas.core.metric import Candidate
from raynas.core.space import SearchSpace
from raynas.metrics.cost import MetaModels
from raynas.metrics.latency_table import LatencyTable, Operation
from raynas.metrics.latency_table.parts import to_be_timed, whole_kinds
from raynas.metrics.latency_table.table import Tracer
from raynas.search_spaces import SEARCH_SPACES


def made_up(space: SearchSpace, archs: Sequence[Architecture]) -> LatencyTable:
    """Return a table of all operations of some networks, of 1 ms each."""
    networks = [*map(Tracer(space, 1), archs)]
    kinds = whole_kinds(networks, are_all=False)
    calls = {call.key: call for network in networks for call in to_be_timed(network, kinds)}
    operations = {
        key: Operation(title=call.kind, ms=1.0, macs=call.macs, elements=call.elements) for key, call in calls.items()
    }
    return LatencyTable(space=space.name, measurement="made up", operations=operations, complete=True)


def cpu_ms(compute: Callable[[], object]) -> float:
    """Return the CPU milliseconds of a computation."""
    began = time.process_time()
    compute()
    return 1e3 * (time.process_time() - began)


@dataclass(frozen=True)
class Times:
    """CPU milliseconds of one network: of building it, and of its latency with outcomes forgotten and kept."""

    built: float
    forgotten: float
    kept: float

    @property
    def ratio(self) -> float:
        """Time of a latency with its network built, kept over forgotten."""
        return (self.built + self.kept) / (self.built + self.forgotten)


def times(space: SearchSpace, archs: Sequence[Architecture]) -> Times:
    """Return the means of some networks."""
    table, models = made_up(space, archs), MetaModels(space)
    rows = [_times_of_one(table, models, arch, kept_first=i % 2 == 0) for i, arch in enumerate(archs)]
    return Times(*map(float, np.mean(rows[len(rows) // 4 :], axis=0)))


def _times_of_one(
    table: LatencyTable, models: MetaModels, arch: Architecture, *, kept_first: bool
) -> tuple[float, float, float]:
    candidate = Candidate(
        space=models.space,
        arch=arch,
        device=torch.device("meta"),
        build=partial(models, arch),
        count=partial(models.count, arch),
    )
    built = cpu_ms(partial(models, arch))
    tables = {"kept": table, "forgotten": replace(table)}
    order = ("kept", "forgotten") if kept_first else ("forgotten", "kept")
    ms = {name: cpu_ms(partial(tables[name].measure, candidate)) for name in order}
    return built, ms["forgotten"], ms["kept"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", choices=[*SEARCH_SPACES], default=["mobilenetv3", "nasbench201"])
    parser.add_argument("--archs", type=int, default=80, help="networks of each space (default: 80)")
    args = parser.parse_args(argv)
    ratios = {}
    for name in args.spaces:
        space, rng = SEARCH_SPACES[name](), np.random.default_rng(0)
        ms = times(space, [space.canonical(space.sample(rng)) for _ in range(args.archs)])
        ratios[name] = ms.ratio
        print(f"{name:15} built {ms.built:6.1f}  forgotten {ms.forgotten:6.1f}  kept {ms.kept:6.1f}", flush=True)
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
