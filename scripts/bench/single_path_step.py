"""CPU time of a single path training step on one thread, against a plain implementation of the papers.

"nasbench201" trains one random cell, "gdas" is GDAS on the same space, "mobilenetv3" one random subnet of the once-
for-all space. "plain" is what the papers' repositories do: NCHW, all operations of an edge in a module list, elastic
layers that slice their weights at each call. "channels_last" is the same code with its weights and images in that
format, as a user of it would speed it up. All ways train the same architectures on the same batches (GDAS draws its
own); each runs in a separate process, by turns, and printed are the medians of the CPU seconds of a step and the
ratios to both.

    python scripts/bench/single_path_step.py --spaces nasbench201 mobilenetv3 --steps 8 --rounds 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raynas.core.architecture import Architecture
from raynas.nn import ModelSpace, Supernet
from raynas.oneshot import ONESHOT, Setup
from raynas.oneshot.single_path import SinglePathLearner

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the module beside this file
from scripts.bench.plain_networks import PlainCells, PlainOfa

Step = Callable[[Architecture], object]

WAYS = ("plain", "channels_last", "raynas")


def space_of(name: str) -> ModelSpace:
    if name == "mobilenetv3":
        from raynas.search_spaces.mobilenetv3 import MobileNetV3

        return MobileNetV3(input_shape=(3, 64, 64), n_classes=10, resolutions=(64,), widths=(1.0,), extra_expansions=())
    from raynas.search_spaces import NASBench201

    return NASBench201()


def batch_of(name: str) -> tuple[Tensor, Tensor]:
    size, side = (32, 64) if name == "mobilenetv3" else (64, 32)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, side, side, generator=generator)
    return images, torch.randint(10, (size,), generator=generator)


def plain_step(name: str, memory_format: torch.memory_format) -> Step:
    images, labels = batch_of(name)
    net = PlainOfa(10) if name == "mobilenetv3" else PlainCells(16, 5, gdas=name == "gdas")
    net = net.to(memory_format=memory_format)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=memory_format)
    net.train()
    alphas = [p for n, p in net.named_parameters() if n.startswith("alpha")]
    weights = [p for n, p in net.named_parameters() if not n.startswith("alpha")]
    sgd = torch.optim.SGD(weights, 0.025, momentum=0.9, weight_decay=5e-4, nesterov=True)
    adam = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3) if name == "gdas" else None

    def step(arch: Architecture) -> object:
        for optimizer in [sgd, adam] if adam else [sgd]:
            net.zero_grad()
            F.cross_entropy(net(images, arch), labels).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
        return None

    return step


class Given(SinglePathLearner):
    """Trains given architectures."""

    arch: Architecture

    def drawn(self) -> Architecture:
        return self.arch


def our_step(name: str) -> Step:
    images, labels = batch_of(name)
    supernet = Supernet(space_of(name)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = images.contiguous(memory_format=torch.channels_last), labels
    # One after another, hundreds of small weights take a tenth of the step; fused, SGD fails where some are new to it.
    sgd = torch.optim.SGD(supernet.parameters(), 0.025, momentum=0.9, weight_decay=5e-4, nesterov=True, foreach=True)
    setup = Setup(supernet=supernet, optimizer=sgd, n_epochs=1, n_steps=1000, clip_norm=5.0)
    if name == "gdas":
        learner = ONESHOT["gdas"]().start(setup)
        learner.begin_epoch()
        return lambda arch: learner.step(batch, batch)
    single = Given(setup)
    single.begin_epoch()

    def step(arch: Architecture) -> object:
        single.arch = arch
        return single.step(batch)

    return step


def measure(name: str, way: str, n_steps: int) -> list[float]:
    """CPU seconds of each step after the first two."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space, rng = space_of(name), np.random.default_rng(0)
    if way == "raynas":
        step = our_step(name)
    else:
        step = plain_step(name, torch.channels_last if way == "channels_last" else torch.contiguous_format)
    seconds = []
    for _ in range(n_steps + 2):
        arch = space.sample(rng)
        began = time.process_time()
        step(arch)
        seconds.append(time.process_time() - began)
    return seconds[2:]


def in_own_process(name: str, way: str, n_steps: int) -> list[float]:
    command = [sys.executable, __file__, "--spaces", name, "--only", way, "--steps", str(n_steps)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return cast(list[float], json.loads(out.splitlines()[-1]))


def compare(name: str, args: Any) -> None:
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        for way, found in seconds.items():
            found += in_own_process(name, way, args.steps)
    plain, last, ours = (statistics.median(seconds[way]) for way in WAYS)
    told = f"{name:12} plain {plain:.3f} s CPU   channels_last {last:.3f}   raynas {ours:.3f}"
    print(f"{told}   ratio {ours / plain:.2f} to plain, {ours / last:.2f} to channels_last", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", nargs="+", default=["nasbench201", "gdas", "mobilenetv3"])
    parser.add_argument("--steps", type=int, default=8, help="steps of a process that count")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each way")
    parser.add_argument("--only", choices=WAYS, help="run one way in this process and print its times as JSON")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.spaces[0], args.only, args.steps)))
        return
    for name in args.spaces:
        if name == "gdas" and name not in ONESHOT:
            print("gdas         is not there yet")
            continue
        compare(name, args)


if __name__ == "__main__":
    main()
