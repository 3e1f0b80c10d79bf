"""Does the network that a search returns obey the latency limit, when it is measured in a fresh process?

For each seed a search of NAS-Bench-201's cells on real images, with ``latency_ms <= SHARE * baseline``, where the
baseline is the cell of 3x3 convolutions alone. Afterwards another process measures the winner and the baseline. A
measurement that raynas itself doubts is repeated there, a bounded number of times.

    python scripts/bench/latency_limit.py --data npz:cifar10.npz
    python scripts/bench/latency_limit.py --data digits --seeds 2 --trials 4
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ray import tune

import raynas
from raynas.core.architecture import Architecture
from raynas.core.measurement import Measured
from raynas.core.result import SearchResult
from raynas.errors import RaynasError
from raynas.metrics.latency import measure_latency
from raynas.search_spaces import NASBench201
from raynas.trials import Training

BASELINE = "nor_conv_3x3"
"""Operation of all edges of the baseline."""

MAX_REPEATS = 10
"""Maximum number of measurements of a network in the fresh process, until one can be trusted."""

PAUSE_SECONDS = 1.0
"""Time between two of them."""

TITLES = ("seed", "trials", "limit", "in the search", "at the end", "fresh process", "of the baseline there", "obeys")


@dataclass(frozen=True)
class Fresh:
    """Latencies in a fresh process.

    Args:
        winner: of the winner, in ms.
        baseline: of the baseline, in ms.
        doubt: the reason why one of them cannot be trusted.
    """

    winner: float
    baseline: float
    doubt: str


def space_of(channels: int, cells: int) -> NASBench201:
    return NASBench201(channels=channels, cells=cells)


def trusted(space: NASBench201, arch: Architecture) -> Measured:
    """Measure a network until raynas trusts the figure, ``MAX_REPEATS`` times at most."""
    for number in range(MAX_REPEATS):
        if number:
            time.sleep(PAUSE_SECONDS)
        latency = measure_latency(space.build(arch), space.inputs)
        if not latency.provenance.doubt:
            break
    return latency


def measure_here(channels: int, cells: int, arch: Architecture, baseline: Architecture) -> None:
    """Print the latencies of the winner and the baseline, and a doubt."""
    space = space_of(channels, cells)
    winner, other = (trusted(space, one) for one in (arch, baseline))
    print(json.dumps([float(winner), float(other), winner.provenance.doubt or other.provenance.doubt]))


def in_fresh_process(given: argparse.Namespace, arch: Architecture, baseline: Architecture) -> Fresh:
    size = [str(given.channels), str(given.cells)]
    command = [sys.executable, __file__, "--measure", *size, arch.to_json(), baseline.to_json()]
    return Fresh(*json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def search(given: argparse.Namespace, seed: int, baseline: Architecture, folder: Path) -> SearchResult:
    return raynas.search(
        space_of(given.channels, given.cells),
        Training(data=given.data, epochs=given.epochs, data_fraction=given.data_fraction, seed=seed),
        constraints=f"latency_ms <= {given.share} * baseline",
        baseline=baseline,
        num_samples=given.trials,
        seed=seed,
        progress=False,
        tensorboard=False,
        leave_report=False,
        run_config=tune.RunConfig(name=f"seed_{seed}", storage_path=str(folder)),
    )


def row(seed: int, result: SearchResult, fresh: Fresh | None) -> str:
    limit = result.goal.constraints[0].limit
    cells = [str(seed), str(len(result.full)), f"{limit:.3f} ms"]
    if fresh is None:
        return f"| {' | '.join([*cells, 'none', '', '', '', 'no result'])} |"
    best = result.best()
    figures = (best.first.get("latency_ms"), best.metrics["latency_ms"], fresh.winner)
    cells += ["" if figure is None else f"{figure:.3f} ms" for figure in figures]
    obeys = ("yes" if fresh.winner <= limit else "NO") + (f" (doubtful: {fresh.doubt})" if fresh.doubt else "")
    broken = f"; {len(result.broken_at_end)} broke it at the end" if result.broken_at_end else ""
    return f"| {' | '.join([*cells, f'{fresh.winner / fresh.baseline:.2f}', obeys + broken])} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--data_fraction", type=float, default=0.25)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1)
    given = parser.parse_args(arguments)
    space = space_of(given.channels, given.cells)
    baseline = space.canonical({name: BASELINE for name in space.default})
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}", flush=True)
    n_obey = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            result = search(given, seed, baseline, Path(folder))
            try:
                fresh = in_fresh_process(given, result.best().arch, baseline)
                n_obey += fresh.winner <= result.goal.constraints[0].limit
            except RaynasError:
                fresh = None
            print(row(seed, result, fresh), flush=True)
    print(f"\nThe limit is obeyed in {n_obey} of {given.seeds} searches.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _, _, n_channels, n_cells, *archs = sys.argv
        measure_here(int(n_channels), int(n_cells), *map(Architecture.from_json, archs))
    else:
        main()
