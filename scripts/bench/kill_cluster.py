"""Does a search on a cluster with a bucket survive kills? SIGKILL to driver, workers and nodes of one search.

60 trials of 0.3 s, each with six reports and checkpoints, run on three nodes of one CPU each; results are in a bucket
on loopback (moto's server), or in a storage that delays and fails at random. At random moments the driver, a process
that runs a trial, or a node is killed; another node joins a little later. A driver that was killed is started again,
some times on another machine: with another folder, so that it has the bucket alone. So is the last one.

Expected are 60 trials that ended, none lost, none failed, none that ended twice. Each training of an epoch leaves a
line in a file beside: no epoch of a trial that was recorded as finished, be it on a machine that is lost a moment
later, may be trained after that.

    python -m scripts.bench.kill_cluster --storage s3 flaky --kills 20
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from scripts.bench.kills import actors_of
from tests.s3_server import CREDENTIALS, s3_server

SEARCH = """
import json, os, sys, time
from pathlib import Path
from ray import tune
import raynas
from raynas.search_spaces import CNN
from raynas.storage import lease
from raynas.strategies import RandomSearch
from tests.flaky_storage import flaky

log = os.environ["EPOCHS"]
lease.QUIET_SECONDS = float(os.environ.get("QUIET_SECONDS", lease.QUIET_SECONDS))
lease.BEAT_SECONDS = min(lease.BEAT_SECONDS, lease.QUIET_SECONDS / 6)

def train(model, config, state):
    for epoch in range(state.get("epoch", 0) + 1, 7):
        time.sleep(0.05)
        state["epoch"] = epoch
        with open(log, "a") as file:
            file.write(json.dumps([time.time(), config["arch"], epoch]) + "\\n")
        yield {"accuracy": epoch / 10 + len(config["arch"]) / 100}

storage, n, seed = sys.argv[1:]
place = {"storage_path": storage}
if not storage.startswith("s3://"):
    trouble = {"failures": 0.05, "delay": 0.05, "seed": int(seed)}
    place = {"storage_path": "/results", "storage_filesystem": flaky(Path(storage), **trouble)}
raynas.search(
    CNN(input_shape=(1, 8, 8)), raynas.trials.Function(fn=train, epochs=6), RandomSearch(), num_samples=int(n),
    progress=False, tensorboard=False, leave_report=False, run_config=tune.RunConfig(name="search", **place),
)
"""

KINDS = ("driver", "elsewhere", "actor", "node")
"""A driver that continues on another machine is the second."""

JOIN_SECONDS = (0.5, 4.0)
"""Time between the loss of a node and the arrival of another."""


class KilledCluster:
    """A search on a cluster, whose parts are killed.

    Args:
        folder: for the machines.
        storage: URI of a bucket, or the folder of a flaky one.
        n_trials: number of trials.
        seed: of the moments and the victims.
    """

    def __init__(self, folder: Path, storage: str, n_trials: int, seed: int) -> None:
        self.folder, self.storage, self.n_trials, self.rng = folder, storage, n_trials, random.Random(seed)
        self.n_machines, self.n_starts = 0, 0
        self.finished: dict[str, float] = {}
        small: dict[str, Any] = {"object_store_memory": 80 * 2**20}
        head = {"num_cpus": 0, "include_dashboard": False, **small}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self._small = small
        self.nodes = [self.cluster.add_node(num_cpus=1, **small) for _ in range(3)]
        self._joins: list[float] = []
        self.move()

    # --- the search --------------------------------------------------------------------------------------------------

    def move(self) -> None:
        """Start the search on another machine."""
        self.n_machines += 1
        self.start()

    def start(self) -> None:
        """Start the search, or continue it, on the current machine."""
        self.n_starts += 1
        self.home.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "RAY_ADDRESS": self.cluster.address,
        }
        command = [sys.executable, "-c", SEARCH, self.storage, str(self.n_trials), str(100 * self.n_starts)]
        with (self.folder / "driver.log").open("ab") as log:
            self.driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    @property
    def home(self) -> Path:
        """The folder of the current machine."""
        return self.folder / f"machine_{self.n_machines}"

    def records(self) -> list[dict[str, object]]:
        """Return the archive of the current machine."""
        files = list(self.home.glob("ray_results/*/search/archive.jsonl"))
        lines = files[0].read_bytes().split(b"\n")[:-1] if files else []
        return [json.loads(line) for line in lines]

    def look(self) -> int:
        """Note which trials are recorded as finished; return the number of reports, and let nodes join."""
        records, now = self.records(), time.time()
        configs = {r["trial"]: json.dumps(r["config"]["arch"]) for r in records if r["event"] == "proposed"}  # type: ignore[index]
        for record in records:
            if record["event"] == "ended":
                self.finished.setdefault(configs[record["trial"]], now)
        if self._joins and time.monotonic() >= self._joins[0]:
            self._joins.pop(0)
            self.nodes.append(self.cluster.add_node(num_cpus=1, **self._small))
        return sum(record["event"] == "result" for record in records)

    def wait_for_reports(self, n: int) -> bool:
        """Wait until there are ``n`` more reports than all machines have had; return whether the search still runs."""
        self.aim = max(getattr(self, "aim", 0), self.look()) + n
        until = time.monotonic() + 300
        while self.look() < self.aim and time.monotonic() < until:
            if self.driver.poll() is not None:
                return False
            time.sleep(0.05)
        time.sleep(self.rng.uniform(0, 0.3))
        self.aim = min(self.aim, self.look())
        return self.driver.poll() is None

    # --- kills -------------------------------------------------------------------------------------------------------

    def kill(self, kind: str) -> None:
        """Kill something."""
        if kind == "actor":
            self._kill_actor()
        elif kind == "node":
            self._kill_node()
        else:
            os.kill(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
            self.look()
            self.move() if kind == "elsewhere" else self.start()

    def _kill_actor(self) -> None:
        until = time.monotonic() + 60
        while self.driver.poll() is None and time.monotonic() < until:
            if found := actors_of(os.getpid()):
                os.kill(self.rng.choice(found), signal.SIGKILL)
                return
            time.sleep(0.1)

    def _kill_node(self) -> None:
        if not self.nodes:
            return
        self.cluster.remove_node(self.nodes.pop(self.rng.randrange(len(self.nodes))), allow_graceful=False)
        self._joins.append(time.monotonic() + self.rng.uniform(*JOIN_SECONDS))

    # --- the outcome -------------------------------------------------------------------------------------------------

    def outcome(self) -> dict[str, int]:
        """Wait for the end; count the trials, and the epochs that were trained."""
        while self.driver.poll() is None:
            self.look()
            time.sleep(0.1)
        records = self.records()
        proposed = {record["trial"] for record in records if record["event"] == "proposed"}
        ends = Counter(record["trial"] for record in records if record["event"] == "ended")
        configs = {r["trial"]: json.dumps(r["config"]["arch"]) for r in records if r["event"] == "proposed"}  # type: ignore[index]
        kept = {configs[trial] for trial in ends}
        lines = [json.loads(line) for line in Path(os.environ["EPOCHS"]).read_text().splitlines()]
        epochs = Counter((json.dumps(arch), epoch) for _, arch, epoch in lines)
        again = {
            json.dumps(arch) for moment, arch, _ in lines if moment > self.finished.get(json.dumps(arch), moment) + 0.5
        }
        return {
            "ended": len(ends),
            "lost": len(proposed - ends.keys()),
            "twice": sum(n > 1 for n in ends.values()),
            "failed": sum(record.get("status") == "failed" for record in records),
            "finished once and not kept": len(self.finished.keys() - kept),
            "finished and trained again": len(again),
            "epochs trained": len(lines),
            "of them again": sum(n - 1 for n in epochs.values()),
            "machines": self.n_machines,
            "exit code": self.driver.returncode,
        }

    def close(self) -> None:
        """End what runs."""
        self.driver.kill()
        self.driver.wait()
        self.cluster.shutdown()


def plan(kills: int, rng: random.Random) -> list[str]:
    """Return what is killed, in order; the last is a driver that continues on another machine."""
    return [rng.choice(KINDS) for _ in range(kills - 1)] + ["elsewhere"]


def run(storage: str, folder: Path, *, n_trials: int, kills: int, seed: int) -> dict[str, int]:
    """Kill something now and then; return how the search ended, and the number of kills of each kind."""
    os.environ["EPOCHS"] = str(folder / "epochs.jsonl")
    Path(os.environ["EPOCHS"]).touch()
    search = KilledCluster(folder, storage, n_trials, seed)
    per_kill = max(6 * n_trials // (kills + 2), 1)
    done: Counter[str] = Counter()
    try:
        for kind in plan(kills, search.rng):
            if not search.wait_for_reports(search.rng.randint(1, per_kill)):
                break
            search.kill(kind)
            done[kind] += 1
            print(
                f"kill {done.total()}: {kind}; {len(search.finished)} trials are finished", file=sys.stderr, flush=True
            )
        return {"kills": done.total(), **{f"of {kind}": done[kind] for kind in KINDS}, **search.outcome()}
    finally:
        search.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storage", nargs="+", choices=("s3", "flaky"), default=("s3", "flaky"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", type=float, help="seconds after which a silent driver is taken to be gone")
    args = parser.parse_args()
    if args.quiet is not None:
        os.environ["QUIET_SECONDS"] = str(args.quiet)
    sizes = {"n_trials": args.trials, "kills": args.kills, "seed": args.seed}
    for kind in args.storage:
        with tempfile.TemporaryDirectory() as temporary:
            folder, began = Path(temporary), time.monotonic()
            if kind == "s3":
                os.environ |= CREDENTIALS
                with s3_server() as uri:
                    found = run(uri, folder, **sizes)
            else:
                (folder / "bucket").mkdir()
                found = run(str(folder / "bucket"), folder, **sizes)
            text = ", ".join(f"{name} {n}" for name, n in found.items())
            print(f"{kind}: {text}; {time.monotonic() - began:.0f} s", flush=True)
            if found["exit code"]:
                print((folder / "driver.log").read_text()[-3000:], file=sys.stderr)


if __name__ == "__main__":
    main()
