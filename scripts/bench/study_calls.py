"""CPU time of a call of ``raynas.Study`` in a process that knows nothing yet, by size of the archive.

An archive of random architectures with made-up accuracies is written; then a new study proposes once and observes once.
That is what each ``raynas propose`` and ``raynas observe`` takes besides the start of Python and its imports, which is
measured too. Strategies that make their earlier proposals again do so from an archive that they made themselves.

    python scripts/bench/study_calls.py
    python scripts/bench/study_calls.py --sizes 10 1000 --strategies random gp
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from raynas.core.archive import Archive
from raynas.run.file_names import ARCHIVE
from raynas.run.study import Study
from raynas.search_spaces import NASBench201
from raynas.strategies import (
    GaussianProcess,
    GridSearch,
    LocalSearch,
    Optuna,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)

SPACE = NASBench201()

STRATEGIES: Mapping[str, Strategy] = {
    "random": RandomSearch(),
    "evolution": RegularizedEvolution(),
    "gp": GaussianProcess(),
    "optuna": Optuna(),
    "grid": GridSearch(),
    "local": LocalSearch(),
}


def filled(folder: Path, n: int, strategy: Strategy) -> Study:
    """Return a study of a folder with ``n`` evaluations, made by the strategy itself if it is one that replays."""
    if strategy in (STRATEGIES["grid"], STRATEGIES["local"]):
        study = Study(SPACE, folder, strategy, num_samples=n)
        while proposals := study.propose(min(100, n)):
            for proposal in proposals:
                study.observe(proposal.trial, {"accuracy": accuracy(dict(proposal.arch))})
        return Study(SPACE, folder, strategy, num_samples=n + 1)
    Study(SPACE, folder, strategy, num_samples=n + 1).result()  # the session
    rng = np.random.default_rng(0)
    archive = Archive(folder / ARCHIVE)
    for number in rng.choice(15_625, n, replace=False):
        arch = {d.name: d.options[int(number) // 5**i % 5] for i, d in enumerate(SPACE.decisions)}
        trial = f"{archive.last_number + 1:05d}" if len(archive) < 3 else f"{len(archive) // 2 + 1:05d}"
        archive.append("proposed", trial=trial, config={"arch": arch}, costs={})
        metrics = {"accuracy": accuracy(arch)}
        archive.append("ended", trial=trial, status="finished", fidelity=1, metrics=metrics, error="")
    archive.close()
    return Study(SPACE, folder, strategy, num_samples=n + 1)


def accuracy(arch: Mapping[str, object]) -> float:
    """Return a made-up accuracy."""
    return sum(str(option).startswith("nor_conv") for option in arch.values()) / len(arch)


def call_seconds(strategy: Strategy, n: int) -> tuple[float, float]:
    """Return the CPU seconds of the first proposal in a new study, and of the observation in another."""
    with tempfile.TemporaryDirectory() as folder:
        study = filled(Path(folder), n, strategy)
        began = time.process_time()
        (proposal,) = study.propose()
        proposed = time.process_time()
        study = Study(SPACE, folder, strategy, num_samples=n + 1)
        observed = time.process_time()
        study.observe(proposal.trial, {"accuracy": 0.5})
        return proposed - began, time.process_time() - observed


def import_seconds() -> float:
    """Return the CPU seconds of a new process that imports what ``raynas propose`` does."""
    code = "import time, raynas.cli.study_run; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1000, 10_000])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    given = parser.parse_args(argv)
    print(f"start and imports: {import_seconds():.1f} s")
    print("| strategy | evaluations | propose s | observe s |\n|---|---|---|---|")
    for name in given.strategies:
        for n in given.sizes:
            proposed, observed = call_seconds(STRATEGIES[name], n)
            print(f"| {name} | {n} | {proposed:.2f} | {observed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
