"""Do the runs of experiment trackers survive kills? SIGKILL to the driver of a search that writes to MLflow and W&B.

A search of 60 trials of 0.3 s, two at a time, writes to MLflow (SQLite) and to Weights & Biases (offline) as often as
it can, so that kills fall into the writing too. Expected at the end: one MLflow run for the search and one for each
trial, with the ids that they had at each kill; and files of Weights & Biases that hold every trial under one id.

    python -m scripts.bench.kill_trackers --kills 20
"""

import argparse
import os
import random
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from scripts.bench.kills import Killed

Ids = dict[str, list[str]]
"""Ids of MLflow's runs by the name of the trial; "" is the search."""

QUERY = """
SELECT runs.run_uuid, trial.value FROM runs
JOIN tags AS search ON search.run_uuid = runs.run_uuid AND search.key = 'raynas.search'
LEFT JOIN tags AS trial ON trial.run_uuid = runs.run_uuid AND trial.key = 'raynas.trial'
"""


def mlflow_ids(file: Path) -> Ids:
    """Return the runs in a data base of MLflow; none before it has its tables."""
    found: Ids = {}
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as base:
            for run, trial in base.execute(QUERY):
                found.setdefault(trial or "", []).append(run)
    except sqlite3.OperationalError:
        pass
    return found


def wandb_ids(folder: Path) -> Counter[str]:
    """Return the number of files for each id of Weights & Biases: a search has one for each start, a trial one."""
    files = folder.glob("wandb/offline-run-*/run-*.wandb")
    return Counter(file.stem.removeprefix("run-") for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, began = Path(temporary), time.monotonic()
        base = folder / "runs.db"
        os.environ |= {"TRACKERS": "mlflow wandb", "MLFLOW_TRACKING_URI": f"sqlite:///{base}", "WANDB_MODE": "offline"}
        os.environ |= {"WANDB_SILENT": "true", "WANDB_DATA_DIR": str(folder / "staged"), "WANDB_DIR": str(folder)}
        search, seen, n_changed, n_killed = Killed(folder, args.trials, args.seed), mlflow_ids(base), 0, 0
        rng = random.Random(args.seed)
        per_kill = max(6 * args.trials // (args.kills + 2), 1)
        while n_killed < args.kills and search.wait_for_reports(rng.randint(1, per_kill)):
            search.kill_driver()
            n_killed += 1
            now = mlflow_ids(base)
            n_changed += sum(now.get(trial) != ids for trial, ids in seen.items())
            seen = now
        outcome = search.outcome()
        runs = mlflow_ids(base)
        n_changed += sum(runs.get(trial) != ids for trial, ids in seen.items())
        files = wandb_ids(folder)
        name = (folder / "search" / "tracking-id.txt").read_text().strip()
        found = {
            "kills": n_killed,
            "trials ended": outcome["ended"],
            "MLflow: runs of trials": len(runs) - 1,
            "missing": args.trials + 1 - len(runs),
            "there twice": sum(len(ids) > 1 for ids in runs.values()),
            "ids changed": n_changed,
            "W&B: trials": len([run for run in files if run != name]),
            "written again after a kill": sum(n > 1 for run, n in files.items() if run != name),
        }
        print(", ".join(f"{what} {n}" for what, n in found.items()), f"; {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
