"""Device operations, copies and waits of a training step, counted on the pretend GPU of the tests.

Each row is the mean over some steps after the first two: operations that a GPU is asked for (each starts at
least one kernel), copies to it with their size, and the times that Python waits for it. Nothing is timed, so the
numbers are the same on every machine. "plain" trains one network of NAS-Bench-201, "single_path" its supernet, "darts"
the supernet of DARTS with 8 cells, each step of which has one of the architecture and one of the weights. "images" and
"large" are batches of images alone: 64 of 224 pixels, from a data set that fits the memory share of a GPU and from one
that does not.

    python scripts/bench/device_operations.py --only darts
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raynas.data.images import ImageData, ImageSplit
from raynas.oneshot import ONESHOT
from raynas.search_spaces import DARTS, NASBench201
from raynas.trials import SupernetTraining, Training

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the pretend GPU
from tests.device_counts import DeviceCounts
from tests.pretend_gpu import pretend_gpu

SHAPE = (1, 8, 8)
"""Of the digits; the size of images changes no number of operations."""


@dataclass(frozen=True)
class PerStep:
    """Demands of a step on a GPU; means over the steps.

    Args:
        operations: number of operations.
        copies: number of copies to the GPU.
        megabytes: their size.
        waits: number of times that Python waits for the GPU.
        reasons: the reasons for them.
        by_name: operations by name.
    """

    operations: float
    copies: float
    megabytes: float
    waits: float
    reasons: Counter[str]
    by_name: Counter[str]

    @classmethod
    def of(cls, counts: DeviceCounts, n_steps: int) -> "PerStep":
        """Divide counts by the number of steps."""
        return cls(
            operations=counts.n_operations / n_steps,
            copies=counts.to_device / n_steps,
            megabytes=counts.bytes_to_device / n_steps / 1e6,
            waits=counts.n_waits / n_steps,
            reasons=counts.waits.copy(),
            by_name=Counter({name: round(n / n_steps) for name, n in counts.operations.items()}),
        )

    def __str__(self) -> str:
        return f"{self.operations:9.1f} {self.copies:8.1f} {self.megabytes:10.3f} {self.waits:7.1f}"


class Enough(Exception):
    """All steps have been counted."""


class Steps:
    """Counts of the steps after the first two."""

    def __init__(self, counts: DeviceCounts, n_steps: int) -> None:
        self.counts, self.n_steps, self.n = counts, n_steps, 0
        self.found: PerStep

    def begin(self) -> None:
        """Note that a step begins, the end of the one before.

        Raises:
            Enough: if all steps have been counted.
        """
        self.n += 1
        if self.n == 3:
            self.counts.clear()
        elif self.n == 3 + self.n_steps:
            self.found = PerStep.of(self.counts, self.n_steps)
            raise Enough


@contextmanager
def counted(n_steps: int, memory_bytes: int = 10**10) -> Iterator[Steps]:
    """Count steps on a pretend GPU."""
    counts = DeviceCounts()
    with pretend_gpu(counts, memory_bytes):
        yield Steps(counts, n_steps)


def of_training(settings: Any, space: Any, arch: dict[str, Any], n_steps: int) -> PerStep:
    """Count the steps of the first epoch of a training, but the first two: optimizers make their state in these."""
    with counted(n_steps) as steps:
        runner = settings.runner(space)
        runner.raises = True
        runner.begin({"arch": arch})
        trainer = runner.trial.trainer
        trainer = getattr(trainer, "trainer", trainer)
        step = trainer._step

        def noted(*batch: Any) -> Any:
            steps.begin()
            return step(*batch)

        trainer._step = noted
        with suppress(Enough):
            trainer.train_epoch()
    return steps.found


def plain(n_steps: int, cells: int, dtype: str) -> PerStep:
    space = NASBench201(channels=4, cells=max(cells // 3, 1), input_shape=SHAPE)
    arch = space.sample(np.random.default_rng(0)).to_config()
    return of_training(Training(**common(n_steps + 4, dtype)), space, arch, n_steps)


def shared(method: str, n_steps: int, cells: int, dtype: str) -> PerStep:
    if method == "darts":
        space: Any = DARTS(channels=4, cells=cells, input_shape=SHAPE)
    else:
        space = NASBench201(channels=4, cells=max(cells // 3, 1), input_shape=SHAPE)
    chosen = ONESHOT[method]()
    settings = SupernetTraining(method=chosen, clip_norm=5.0, **common((n_steps + 4) * (1 + chosen.uses_valid), dtype))
    return of_training(settings, space, {"method": type(chosen).__name__}, n_steps)


def common(n_steps: int, dtype: str) -> dict[str, Any]:
    share = min(4 * n_steps / 1078, 1.0)  # of the digits, in batches of 4
    given = {"data": "digits", "augment": "crop_flip", "epochs": 3, "batch_size": 4, "dtype": dtype}
    return {**given, "data_fraction": share, "device": "cuda"}


def images(n_steps: int, side: int, *, fits: bool) -> PerStep:
    """Count what the batches of images need without any network."""
    n, rng = 64 * (n_steps + 4), np.random.default_rng(0)
    split = ImageSplit(rng.integers(256, size=(n, side, side, 3), dtype=np.uint8), np.arange(n) % 10)
    given: dict[str, Any] = {"mean": (127.0,) * 3, "std": (64.0,) * 3, "augment": "crop_flip"}
    data = ImageData(name="random", train=split, valid=split, test=None, n_classes=10, **given)
    with counted(n_steps, 10**10 if fits else 10**6) as steps:
        batches = data.batches(batch_size=64, augment="auto", device=torch.device("cuda"))
        with suppress(Enough):
            for _ in batches.train(0):
                steps.begin()
    return steps.found


def rows(args: argparse.Namespace) -> dict[str, Callable[[], PerStep]]:
    return {
        "plain": partial(plain, args.steps, args.cells, args.dtype),
        "single_path": partial(shared, "single_path", args.steps, args.cells, args.dtype),
        "darts": partial(shared, "darts", args.steps, args.cells, args.dtype),
        "images": partial(images, args.steps, args.side, fits=True),
        "large": partial(images, args.steps, args.side, fits=False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4, help="steps that count")
    parser.add_argument("--cells", type=int, default=8, help="cells of DARTS; a third of them in a stage of the others")
    parser.add_argument("--side", type=int, default=224, help="height and width of the images without a network")
    parser.add_argument("--dtype", default="float32", help="precision of the training")
    parser.add_argument("--only", nargs="+", help="rows to count")
    parser.add_argument("--names", type=int, default=0, help="number of the most frequent operations to print")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'a step of':12} {'operations':>9} {'copies':>7} {'MB copied':>10} {'waits':>7}")
    for name, count in rows(args).items():
        if args.only and name not in args.only:
            continue
        found = count()
        print(f"{name:12} {found}   {', '.join(found.reasons) or 'no wait'}", flush=True)
        for operation, n in found.by_name.most_common(args.names):
            print(f"{'':12} {n:9} {operation}")


if __name__ == "__main__":
    main()
