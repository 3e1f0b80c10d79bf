"""Time of the driver that ``report.html`` takes during a search, and its size, for searches of several lengths.

The trials are made up, with up to 5 reports each, half of them stopped early. Prints CPU seconds of the first writing
in a process, which imports and packs plotly, and of the next.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from raynas.core.archive import Archive
from raynas.metrics import read_goal
from raynas.search_spaces import CNN
from raynas.views.report.live import MAX_SHARE, LiveReport

SPACE = CNN()


def made_up(n_trials: int, seed: int = 0) -> Archive:
    """Return an archive of trials whose accuracy is noise."""
    rng = np.random.default_rng(seed)
    archive = Archive()
    for number in range(1, n_trials + 1):
        trial, last = f"{number:05d}", int(rng.choice([1, 3, 9], p=[0.3, 0.2, 0.5]))
        costs = {"params": float(rng.integers(1000, 10**6)), "latency_ms": float(rng.random())}
        archive.append("proposed", trial=trial, config={"arch": SPACE.sample(rng).to_config()}, costs=costs)
        metrics: dict[str, float] = {}
        for epoch in range(1, last + 1, 2):
            metrics = {"accuracy": float(rng.random()), "train_seconds": 2.0 * epoch, **costs}
            archive.append("result", trial=trial, fidelity=epoch, metrics=metrics)
        status = "finished" if last == 9 else "stopped"
        archive.append("ended", trial=trial, status=status, fidelity=last, metrics=metrics, error="")
    return archive


def measured(n_trials: int) -> tuple[float, float, float]:
    """Return CPU seconds of the first and of the second writing, and the size in MB."""
    archive, goal = made_up(n_trials), read_goal("accuracy", "params <= 500000")
    with tempfile.TemporaryDirectory() as folder:
        view = LiveReport(SPACE, Path(folder))
        seconds = []
        for _ in range(2):
            start = time.process_time()
            view.write(archive, goal)
            seconds.append(time.process_time() - start)
        return seconds[0], seconds[1], (Path(folder) / "report.html").stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 1000, 10_000])
    print("| trials | first, CPU s | next, CPU s | at most every | MB |\n|---|---|---|---|---|")
    for n_trials in parser.parse_args().trials:
        first, again, size = measured(n_trials)
        print(
            f"| {n_trials} | {first:.2f} | {again:.2f} | {max(60, again / MAX_SHARE):.0f} s | {size:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
