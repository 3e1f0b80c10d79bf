"""Does differentiable search collapse, is it noticed, and what helps? Plain DARTS and its remedies on NAS-Bench-201.

Each run searches a cell on few images of CIFAR-10 with a small supernet; how good the cell is, the table of the
benchmark says (a cell of skip connections alone, where DARTS ends in the paper: 54.30 % on the test images). Prints a
table, and writes a JSON file for each run and a summary; runs whose file is there already are not run again.

    python scripts/bench/darts_collapse.py --methods darts darts_minus --seeds 3 --epochs 20 --results results/collapse
"""

import argparse
import csv
import gzip
import json
import logging
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from raynas.data.batches import Batches
from raynas.data.image_batches import ImageBatches
from raynas.data.image_sets import load_images
from raynas.data.images import ImageData
from raynas.nn import Supernet
from raynas.oneshot.base import Batch, Setup
from raynas.oneshot.differentiable import PRESETS, Differentiable, DifferentiableLearner, DrNas, PDarts, Stage
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import to_arch_str
from raynas.seeds import seed_of

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
METHODS = (
    "darts",
    "darts_2nd",
    "gdas",
    "snas",
    "proxyless",
    "pc_darts",
    "p_darts",
    "dr_nas",
    "fair_darts",
    "robust_darts",
    "darts_plus",
    "darts_minus",
    "smooth_darts",
    "smooth_darts_adv",
)


NOT_SETTINGS = ("methods", "seeds", "first_seed", "results", "data", "table")


class WarningsSeen(logging.Handler):
    """Keeps what the watch says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.texts.append(record.getMessage())


def method_of(name: str, args: argparse.Namespace) -> Differentiable:
    """Return the preset, fitted to small networks of five operations."""
    method = PRESETS[name]()
    if args.arch_lr is not None:
        method = replace(method, arch_lr=args.arch_lr)
    if args.eigenvalue_every is not None:
        method = replace(method, watch=replace(method.watch, eigenvalue_every=args.eigenvalue_every))
    if isinstance(method, DrNas):
        return replace(method, partial_channels=4, stages=(Stage(), Stage(partial_channels=2, keep=3)))
    if isinstance(method, PDarts):
        grown = zip(method.stages, (args.cells, args.cells + 1, args.cells + 2), (None, 4, 3), strict=True)
        return replace(method, stages=tuple(replace(s, space={"cells": c}, keep=k) for s, c, k in grown))
    return method


def endless(batches: Batches, seed: int) -> Iterator[Batch]:
    """Held-out batches, epoch after epoch."""
    return (batch for epoch in count() for batch in batches.train(seed_of(seed, "held out", epoch)))


def searched(name: str, seed: int, data: ImageData, args: argparse.Namespace) -> DifferentiableLearner:
    """Run a whole search."""
    torch.manual_seed(seed)
    space = NASBench201(input_shape=data.input_shape, channels=args.channels, cells=args.cells, affine=False)
    method, device = method_of(name, args), torch.device("cpu")
    supernet = Supernet(space, partial_channels=method.partial_channels)
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        supernet.parameters(), lr=args.lr, momentum=0.9, weight_decay=args.weight_decay, nesterov=True
    )
    train = ImageBatches(data=data, batch_size=args.batch_size, augment=args.augment, device=device)
    held_out = replace(train, data=replace(data, train=data.valid).reduced(args.data_fraction, None))
    train = replace(train, data=data.reduced(args.data_fraction, None))
    setup = Setup(
        supernet=supernet, optimizer=optimizer, n_epochs=args.epochs, n_steps=train.n_steps, seed=seed, clip_norm=5.0
    )
    learner = method.start(setup)
    valid = endless(held_out, seed)
    for epoch in range(args.epochs):
        learner.begin_epoch()
        for batch in train.train(seed_of(seed, "train", epoch)):
            lr = 1e-3 + (args.lr - 1e-3) * (1 + math.cos(math.pi * learner.progress)) / 2
            for group in optimizer.param_groups:
                group["lr"] = lr
            learner.step(batch, next(valid) if method.uses_valid else None)
        metrics = learner.end_epoch(lambda: train.examine("valid"))
        print(f"  {name} {seed} epoch {epoch}: " + ", ".join(f"{k} {v:.3f}" for k, v in metrics.items()), flush=True)
        if learner.ended_because:
            break
    return learner


def run(name: str, seed: int, data: ImageData, table: Mapping[str, Mapping[str, str]], args: argparse.Namespace) -> Any:
    """One search and what is to be said about it."""
    seen = WarningsSeen()
    logging.getLogger("raynas").addHandler(seen)
    began = time.monotonic()
    learner = searched(name, seed, data, args)
    logging.getLogger("raynas").removeHandler(seen)
    text = to_arch_str(learner.derived)
    operations = Counter(map(str, learner.derived.values()))
    return {
        "method": name,
        "seed": seed,
        "cell": text,
        "test_accuracy": float(table[text]["test_accuracy_epoch200"]),
        "valid_accuracy": float(table[text]["val_accuracy_epoch200"]),
        "skip_share": operations["skip_connect"] / 6,
        "none_share": operations["none"] / 6,
        "warnings": seen.texts,
        "ended_because": learner.ended_because,
        "seconds": time.monotonic() - began,
        "settings": {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS},
        "history": [{**point.metrics, "cell": to_arch_str(point.derived)} for point in learner.monitor.history],
    }


def table_of(path: Path) -> dict[str, dict[str, str]]:
    """Return the benchmark's row of each cell, by its notation."""
    with gzip.open(path, "rt") as file:
        return {row["arch_str"]: row for row in csv.DictReader(file)}


def summary(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for each method and one for each run, as Markdown."""
    lines = ["| method | test accuracy, % | skip share | warned | runs |", "|---|---|---|---|---|"]
    names = dict.fromkeys(run["method"] for run in runs)
    for name in names:
        own = [run for run in runs if run["method"] == name]
        accuracies = [run["test_accuracy"] for run in own]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(own) > 1 else ""
        skips, warned = statistics.fmean(run["skip_share"] for run in own), sum(bool(run["warnings"]) for run in own)
        lines.append(f"| {name} | {statistics.fmean(accuracies):.2f}{spread} | {skips:.2f} | {warned} | {len(own)} |")
    lines += ["", "| method | seed | test, % | cell | warning or end |", "|---|---|---|---|---|"]
    for one in runs:
        said = "; ".join([*one["warnings"], *([one["ended_because"]] if one["ended_because"] else [])]) or "–"
        cell = one["cell"].replace("|", "\\|")
        lines.append(f"| {one['method']} | {one['seed']} | {one['test_accuracy']:.2f} | {cell} | {said} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=sorted(PRESETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--resolution", type=int, default=16, help="height and width of the images")
    parser.add_argument("--data-fraction", type=float, default=1.0, help="share of the images that are searched with")
    parser.add_argument("--augment", default="auto", help="auto, none, shift, crop_flip or crop_flip_cutout")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.025)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--arch-lr", type=float, help="instead of that of each method; few steps need a larger one")
    parser.add_argument("--eigenvalue-every", type=int, help="epochs; instead of that of each method")
    parser.add_argument("--data", type=Path, default=SHARED / "cifar10_6k.npz")
    parser.add_argument("--table", type=Path, default=SHARED / "nb201_cifar10.csv.gz")
    parser.add_argument("--results", type=Path, default=Path("results/darts_collapse"))
    args = parser.parse_args()
    for needed in (args.data, args.table):
        if not needed.exists():
            print(f"skipped: {needed} is missing")
            return
    torch.set_num_threads(1)
    images = load_images(f"npz:{args.data}", valid_share=0.5)
    data, table = images.without_test().reduced(1.0, args.resolution), table_of(args.table)
    args.results.mkdir(parents=True, exist_ok=True)
    runs = []
    for name in args.methods:
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            file = args.results / f"{name}-{seed}.json"
            if not file.exists():
                text = json.dumps(run(name, seed, data, table, args), indent=1, default=str)
                file.with_suffix(".part").write_text(text)
                file.with_suffix(".part").replace(file)
            runs.append(json.loads(file.read_text()))
    text = summary(runs)
    (args.results / "summary.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
