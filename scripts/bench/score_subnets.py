"""Overhead of scoring subnets in bulk over their forward passes, and cost of fetching a supernet.

Scores random subnets of a small supernet by two actors, and measures the CPU time of these against that of the same
recalibration and validation batches through networks that are there already. Then an actor fetches 50 MB of weights
from the object store of its node; whether they were copied is read off the process's memory map.

    python scripts/bench/score_subnets.py --subnets 1000
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from raynas.run.actor_pool import ActorPool
from raynas.search_spaces import NASBench201
from raynas.trials import Subnet, SupernetTraining, TrainedSupernet, TrialRunner
from raynas.trials.subnet import SubnetTrial
from raynas.trials.supernet.writing import write_supernet


def some_supernet(folder: Path, channels: int, cells: int, resolution: int) -> TrainedSupernet:
    """Shared weights of a network of that size, hardly trained."""
    space = NASBench201(channels=channels, cells=cells, input_shape=(1, 8, 8))
    settings = SupernetTraining(data="digits", data_fraction=0.5, epochs=1, warmup_epochs=0, resolution=resolution)
    runner = settings.runner(space)
    runner.begin({"arch": {"method": "SinglePath"}})
    runner.step()
    return write_supernet(folder, settings.fitted(space)[0], settings, runner.trial.state())


class Timed:
    """Adds the CPU seconds of its process since the last score, whatever they went into.

    For every so many architectures it measures the forward passes alone right after, in the same process: other load on
    the machine slows both.

    Args:
        runner: scores.
        every: how many architectures.
    """

    def __init__(self, runner: TrialRunner[SubnetTrial], every: int) -> None:
        self._runner, self._every = runner, every
        self._n, self._last = 0, float("nan")

    def run(self, config: Mapping[str, Any]) -> dict[str, Any]:
        result = self._runner.run(config)
        result["cpu_seconds"] = time.process_time() - self._last
        self._n += 1
        result["bare_seconds"] = self._bare(config) if self._n % self._every == 0 else float("nan")
        self._last = time.process_time()
        return result

    def _bare(self, config: Mapping[str, Any]) -> float:
        """CPU seconds of the forward passes through a network that is there already."""
        self._runner.begin(config)
        shared = self._runner.trial.shared
        images = shared.calibration()
        valid = list(shared.batches.examine("valid"))
        model = shared.supernet.extract(config["arch"], copy_weights=False)
        start = time.process_time()
        with torch.inference_mode():
            for batch in images:
                model.train()(batch)
            for batch, _ in valid:
                model.eval()(batch)
        return time.process_time() - start


@ray.remote(num_cpus=1)
class Fetcher:
    """Looks at how weights arrive."""

    def fetch(self, shared: list[Any]) -> tuple[float, bool, bool]:
        start = time.perf_counter()
        weights = ray.get(shared[0])
        seconds = time.perf_counter() - start
        arrays = list(weights.values())
        return seconds, any(a.flags.writeable for a in arrays), all(in_shared_memory(a) for a in arrays)


def in_shared_memory(array: np.ndarray[Any, Any]) -> bool:
    """Return whether the memory of an array is mapped from the object store."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= address < end:
            return "plasma" in line or "/dev/shm" in line or line.split()[1].endswith("s")
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subnets", type=int, default=1000)
    parser.add_argument("--every", type=int, default=5, help="how often the forward passes alone are measured")
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--resolution", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=300 * 2**20)
    with tempfile.TemporaryDirectory() as folder:
        trained = some_supernet(Path(folder), args.channels, args.cells, args.resolution)
        runner = Subnet(supernet=trained).runner(trained.space)
    runner.costs.counted = ()
    rng = np.random.default_rng(0)
    archs = [trained.space.sample(rng) for _ in range(args.subnets)]
    configs = [{"arch": dict(arch)} for arch in archs]

    began = time.perf_counter()
    with ActorPool(Timed(runner, args.every), {"cpu": 1}, workers=2) as pool:
        results = list(pool.results(configs))
    wall = time.perf_counter() - began
    n_failed = sum(result["failed"] for result in results)
    pairs = [(r["cpu_seconds"], r["bare_seconds"]) for r in results if r["bare_seconds"] == r["bare_seconds"]]
    scored, bare = (statistics.fmean(seconds) for seconds in zip(*pairs, strict=True))
    print(f"{args.subnets} subnets by 2 workers in {wall:.1f} s with their start, {n_failed} failed")
    print(f"CPU of the workers: {1e3 * scored:.1f} ms a subnet; forward passes alone: {1e3 * bare:.1f} ms")
    print(f"on the same {len(pairs)} subnets: {scored / bare:.2f} times the forward passes (goal: at most 1.15)")

    weights = {f"weight_{i}": np.random.default_rng(i).random((256, 512), np.float32) for i in range(100)}
    shared = [ray.put(weights)]
    fetcher = Fetcher.remote()  # type: ignore[attr-defined]
    fetches = [ray.get(fetcher.fetch.remote(shared)) for _ in range(5)]
    n_bytes = sum(a.nbytes for a in weights.values())
    told = ", ".join(f"{1e3 * seconds:.1f}" for seconds, _, _ in fetches)
    print(f"fetching {n_bytes / 2**20:.0f} MB: {told} ms (goal: at most 10)")
    print(f"writable: {any(w for _, w, _ in fetches)}; all in shared memory: {all(s for _, _, s in fetches)}")


if __name__ == "__main__":
    main()
