"""Compare the ratios of benchmarks with stored ones: run benchmarks and print the ratios that moved.

Each benchmark measures two programs by turns on the same machine and prints their ratio, which depends less on the
machine than seconds do. A ratio moved if the median of the new runs differs from that of the stored runs by more than
the largest and smallest stored value differ, and by at least two percent. With five stored runs and three new ones that
happens by chance in about one case in fifty. Ratios from another machine are a hint, no proof.

    python scripts/bench/compare.py                 all of them three times, against the stored ratios
    python scripts/bench/compare.py darts_step      one of them
    python scripts/bench/compare.py --store --runs 5

The exit status is 1 if a ratio moved. Times are worth something on a quiet machine alone.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
STORED = FOLDER / "results" / "ratios.json"

BENCHMARKS: Mapping[str, tuple[str, ...]] = {
    "darts_step": ("--batch=16", "--channels=16", "--cells=5", "--side=16", "--repeats=3", "--ways", "fast"),
    "overhead": ("--trials=100", "--repeats=3"),
    "proposal_cost": ("--spaces", "cnn", "mobilenetv3", "darts", "--trials", "100", "300", "--observations"),
}
"""Arguments of each benchmark, small enough for all to take some minutes; the ratios hold for these alone."""

LEAST = 0.02
"""Share of a ratio by which it must change to have moved: some stored values hardly differ."""

Ratios = Mapping[str, Sequence[float]]
"""The values of each ratio, one for each run."""


@dataclass(frozen=True)
class Moved:
    """A ratio that moved.

    Args:
        name: of the benchmark and the ratio.
        before: median of the stored runs.
        now: median of the new runs.
        spread: largest less smallest stored value.
    """

    name: str
    before: float
    now: float
    spread: float

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.before:.3g} before, {self.now:.3g} now; the stored runs spread over {self.spread:.2g}"
        )


def moved(stored: Ratios, new: Ratios, benchmark: str = "") -> list[Moved]:
    """Return the ratios whose median moved by more than the stored values spread; one without stored values cannot."""
    found = []
    for name in stored.keys() & new.keys():
        before, now = statistics.median(stored[name]), statistics.median(new[name])
        spread = max(stored[name]) - min(stored[name])
        if abs(now - before) > max(spread, LEAST * before):
            found.append(Moved(f"{benchmark} {name}".strip(), before, now, spread))
    return sorted(found, key=lambda m: m.name)


def ratios_of(output: str) -> dict[str, float]:
    """Return the ratios in the last line that a benchmark prints.

    Raises:
        ValueError: if they are not there.
    """
    lines = output.splitlines() or [""]
    try:
        return {str(name): float(value) for name, value in json.loads(lines[-1])["ratios"].items()}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"the last line must be JSON with ratios, got {lines[-1]!r}") from None


def run(benchmark: str, runs: int) -> dict[str, list[float]]:
    """Run a benchmark several times, and return the values of each of its ratios."""
    values: dict[str, list[float]] = {}
    command = [sys.executable, str(FOLDER / f"{benchmark}.py"), *BENCHMARKS[benchmark]]
    for i in range(runs):
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        for name, value in ratios_of(output).items():
            values.setdefault(name, []).append(round(value, 4))
            print(f"{benchmark} {name}, run {i + 1}: {value:.3g}", flush=True)
    return values


def main(argv: Sequence[str]) -> int:
    """Run benchmarks, and compare their ratios or store them; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"by default {', '.join(BENCHMARKS)}")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--store", action="store_true", help=f"write the ratios to {STORED.name} instead")
    args = parser.parse_args(argv)
    if unknown := set(args.benchmarks) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    if args.runs < 1:
        parser.error(f"--runs must be at least 1, got {args.runs}")
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    found: list[Moved] = []
    for name in args.benchmarks or BENCHMARKS:
        ratios = run(name, args.runs)
        if args.store:
            stored[name] = {"arguments": list(BENCHMARKS[name]), "machine": machine, "ratios": ratios}
            STORED.write_text(json.dumps(stored, indent=1) + "\n")
        elif stored.get(name, {}).get("arguments") != list(BENCHMARKS[name]):
            print(f"{name}: nothing is stored for these arguments; run with --store")
        else:
            found += moved(stored[name]["ratios"], ratios, name)
    print("\n".join(map(str, found)) or "no ratio moved beyond its stored spread")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
