"""Is a killed mining the same mining? SIGKILL in each of its steps, run again, compare with an uninterrupted run.

A small network on digits is mined; the driver is killed while the shared weights are trained, while members are scored,
and while members are trained further. Prints for every kill when it came, whether all figures and weights equal those
of the uninterrupted run, and whether anything that was finished was done again.

    python scripts/bench/kill_mining.py --kills 1
"""

import argparse
import hashlib
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

from raynas.core.archive import Archive

MINING = """
import sys
import ray, torch
from ray import tune
from torch import nn
import raynas
from raynas.converting import Width
from raynas.trials import Distillation, SupernetDistillation

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=150 * 2**20)
torch.manual_seed(0)
body = [nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
space = raynas.convert(model, torch.rand(2, 1, 8, 8), vary={"*": Width(*(i / 16 for i in range(1, 17)))}, divisor=1)
training = SupernetDistillation(data="digits", epochs=4, batch_size=32, warmup_epochs=0)
raynas.mine(
    space,
    training,
    recovery=Distillation(data="digits", epochs=4, batch_size=32, warmup_epochs=0),
    members=80,
    recovered=5,
    progress=False,
    run_config=tune.RunConfig(storage_path=sys.argv[1], name="mined"),
)
"""

TIMED = ("train_seconds", "peak_memory_mb")
"""Metrics that no two runs share."""

STEPS = ("supernet", "members", "recovered")


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the mining in a separate process group."""
    command = [sys.executable, "-c", MINING, str(folder)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the mining failed:\n{errors.decode()[-2000:]}")


def without_times(value: Any) -> Any:
    """Return a summary without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMED}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def outcome(folder: Path) -> dict[str, Any]:
    """Return the summary, and digests of all weights."""
    weights = {path.parent.name: path for path in folder.glob("3-recovered-*/*/weights.safetensors")}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(weights.items())}
    about = json.loads((folder / "1-supernet" / "supernet.json").read_text())
    supernet = {name: about[name] for name in ("history", "digest")}
    return {"mined": without_times(json.loads((folder / "mined.json").read_text())), "weights": digests, **supernet}


def events(folder: Path, step: str) -> list[dict[str, Any]]:
    try:
        return list(Archive.load(folder / step / "archive.jsonl"))
    except Exception:
        return []


def n_done(folder: Path, step: str) -> int:
    """Return the number of epochs, members or trained members that are finished."""
    if step == "supernet":
        return len([e for e in events(folder, "1-supernet") if e["event"] == "result"])
    if step == "members":
        return len([e for e in events(folder, "2-members") if e["event"] == "ended"])
    return len(list(folder.glob("3-recovered-*/*/recovered.json")))


def finished(folder: Path) -> dict[str, int]:
    """Return the times at which trained members were written, by name."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("3-recovered-*/*/recovered.json")}


def repeated(folder: Path) -> list[str]:
    """Return what ended more than once: the supernet, or members that were scored."""
    ended = [
        f"{step} {e['trial']}"
        for step in ("1-supernet", "2-members")
        for e in events(folder, step)
        if e["event"] == "ended"
    ]
    return [name for name, n in Counter(ended).items() if n > 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=2, help="in each step")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    least = {"supernet": 1, "members": 5, "recovered": 1}
    most = {"supernet": 3, "members": 60, "recovered": 3}
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        finish(start(whole))
        expected = outcome(whole / "mined")
        print(f"uninterrupted: {expected['mined']['members']} members, {len(expected['weights'])} trained", flush=True)
        n_equal = 0
        kills = [step for step in STEPS for _ in range(args.kills)]
        for i, step in enumerate(kills):
            folder = Path(temporary) / f"killed_{i}"
            process, wanted = start(folder), rng.randint(least[step], most[step])
            while process.poll() is None and n_done(folder / "mined", step) < wanted:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.5))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            done, before = n_done(folder / "mined", step), finished(folder / "mined")
            finish(start(folder))
            after = finished(folder / "mined")
            again = [*repeated(folder / "mined"), *(name for name, at in before.items() if after[name] != at)]
            equal = outcome(folder / "mined") == expected
            n_equal += equal and not again
            told = f"killed in step {step} with {done} done: equal after resume: {equal}"
            print(f"{told}, done again: {', '.join(again) or 'nothing'}", flush=True)
        print(f"{n_equal} of {len(kills)} minings equal the uninterrupted one, and repeated nothing")


if __name__ == "__main__":
    main()
