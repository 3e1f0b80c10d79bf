"""Does a search survive kills? SIGKILL to the driver, to actors and to nodes during a search; count its trials.

A search has 60 trials of 0.3 s, each with six reports and checkpoints, two at a time. At a random moment after every
third of a trial or so something is killed. Expected are 60 trials that ended, none lost, none counted twice, none
failed.

    python scripts/bench/kills.py --kinds driver actor node --kills 20
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SEARCH = """
import os, sys, time
import ray
from ray import tune
import raynas
import raynas.views.trackers.log
from raynas.search_spaces import CNN
from raynas.strategies import RandomSearch

def train(model, config, state):
    for epoch in range(state.get("epoch", 0) + 1, 7):
        time.sleep(0.05)
        state["epoch"] = epoch
        yield {"accuracy": epoch / 10 + len(config["arch"]) / 100}

raynas.views.trackers.log.WRITE_SECONDS = 0.2  # so that kills fall into the writing

if not os.environ.get("RAY_ADDRESS"):
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
raynas.search(
    CNN(input_shape=(1, 8, 8)), train, RandomSearch(), num_samples=int(sys.argv[2]), max_concurrent=2,
    progress=False, tensorboard=False, leave_report=False, trackers=os.environ.get("TRACKERS", "").split(),
    run_config=tune.RunConfig(storage_path=sys.argv[1], name="search"),
)
"""


def events(folder: Path) -> list[dict[str, object]]:
    """Return the records of the search so far."""
    file = folder / "search" / "archive.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]


class Killed:
    """A search in another process, started again whenever its driver is gone.

    Args:
        folder: for its results.
        n_trials: number of trials.
        seed: of the moments.
        address: of a Ray cluster; "" to let the search start Ray.
    """

    def __init__(self, folder: Path, n_trials: int, seed: int, address: str = "") -> None:
        self.folder, self.n_trials, self.rng = folder, n_trials, random.Random(seed)
        self._environment = {**os.environ, "RAY_ADDRESS": address} if address else dict(os.environ)
        self.start()

    def start(self) -> None:
        """Start the search, or continue it."""
        command = [sys.executable, "-c", SEARCH, str(self.folder), str(self.n_trials)]
        self.driver = subprocess.Popen(command, env=self._environment, start_new_session=True)

    def wait_for_reports(self, n: int) -> bool:
        """Wait until there are ``n`` more reports; return whether the search still runs."""
        aim = self._n_reports() + n
        while self._n_reports() < aim:
            if self.driver.poll() is not None:
                return False
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0, 0.3))
        return self.driver.poll() is None

    def _n_reports(self) -> int:
        return sum(record["event"] == "result" for record in events(self.folder))

    def kill_driver(self) -> None:
        """Kill the driver; Ray's processes notice and leave."""
        os.kill(self.driver.pid, signal.SIGKILL)
        self.driver.wait()
        self.start()

    def kill_actor(self) -> None:
        """Kill one of the processes that run a trial of this search."""
        while self.driver.poll() is None:
            found = actors_of(self.driver.pid)
            if found:
                os.kill(self.rng.choice(found), signal.SIGKILL)
                return

    def outcome(self) -> dict[str, int]:
        """Wait for the end; count the trials."""
        code = self.driver.wait()
        records = events(self.folder)
        proposed = {record["trial"] for record in records if record["event"] == "proposed"}
        ends = Counter(record["trial"] for record in records if record["event"] == "ended")
        return {
            "ended": len(ends),
            "lost": len(proposed - ends.keys()),
            "twice": sum(n > 1 for n in ends.values()),
            "failed": sum(record.get("status") == "failed" for record in records),
            "tried again": sum(record["event"] == "lost" for record in records),
            "exit code": code,
        }


def actors_of(driver: int) -> list[int]:
    """Return the processes below a driver that run trials."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(maxsplit=2) for line in listed.splitlines()]
    family = {driver}
    for _ in range(3):  # driver, raylet, worker
        family |= {int(pid) for pid, parent, *_ in processes if int(parent) in family}
    return [
        int(pid)
        for pid, _, *rest in processes
        if int(pid) in family and re.search("ray::(Architecture|Resource)T", " ".join(rest))
    ]


def run(search: Killed, kill: Callable[[], None], kills: int) -> dict[str, int]:
    """Kill something now and then; return how the search ended, and the number of kills."""
    per_kill = max(6 * search.n_trials // (kills + 2), 1)
    n_killed = 0
    while n_killed < kills and search.wait_for_reports(search.rng.randint(1, per_kill)):
        kill()
        n_killed += 1
    return {"kills": n_killed, **search.outcome()}


def run_with_nodes(folder: Path, n_trials: int, kills: int, seed: int) -> dict[str, int]:
    """Run a search on a head without CPUs and two nodes, one of which is killed and replaced now and then."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    search = Killed(folder, n_trials, seed, cluster.address)

    def kill_node() -> None:
        cluster.remove_node(nodes.pop(search.rng.randrange(2)), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1))

    try:
        return run(search, kill_node, kills)
    finally:
        search.driver.kill()
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=("driver", "actor", "node"), default=("driver", "actor", "node"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for kind in args.kinds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            began = time.monotonic()
            if kind == "node":
                found = run_with_nodes(folder, args.trials, args.kills, args.seed)
            else:
                search = Killed(folder, args.trials, args.seed)
                found = run(search, search.kill_driver if kind == "driver" else search.kill_actor, args.kills)
            text = ", ".join(f"{name} {n}" for name, n in found.items())
            print(f"{kind}: {text}; {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
