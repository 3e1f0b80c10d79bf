"""Rank correlation of inherited weights where training heeds which subnet a step trains (Jeon et al., CVPR 2025).

Trains a supernet of the cells of ``tables/digits_cells.csv.gz``, those of NAS-Bench-201 at a small size, by single path
as it is, with a learning rate that follows from the subnet's parameters, with a momentum for each option of one edge,
and with both, as the paper has them. Scores random cells with inherited weights (batch norm recalibrated), and prints
Kendall's tau with the test accuracy that each of them has after its own training, and the difference to single path,
seed by seed. The table has single trainings, so no score can reach 1: two trainings of a cell agree with a rank
correlation of 0.80.

    python scripts/bench/subnet_aware.py
    python scripts/bench/subnet_aware.py --quick

Learning rate, momentum, weight decay and size of batches are the authors'; nothing was tuned. Runs whose file is in the
results folder already are read from it.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau, spearmanr

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from raynas.core.architecture import Architecture
from raynas.files.replacing import write_whole
from raynas.nn import recalibrate
from raynas.oneshot import SinglePath
from raynas.search_spaces import NASBench201
from raynas.trials import SupernetTraining
from scripts.bench.summaries import standard_error, verdict

TABLE = Path(__file__).parent / "tables" / "digits_cells.csv.gz"
SPACE = NASBench201(
    channels=8,
    cells=1,
    stages=1,
    operations=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"),
    input_shape=(1, 8, 8),
    n_classes=10,
)
METHODS: Mapping[str, SinglePath] = {
    "single path": SinglePath(),
    "complexity-aware rate": SinglePath(complexity_aware_lr=4.0),
    "separate momentum": SinglePath(separate_momentum=True),
    "both": SinglePath(complexity_aware_lr=4.0, separate_momentum=True),
}
CALIBRATION = 4
"""Batches of training images that the batch norms of a subnet see before it is scored."""


def scored(method: SinglePath, cells: Sequence[Architecture], epochs: int, seed: int) -> tuple[list[float], float]:
    """Return the accuracy of each cell with inherited weights, and the seconds of CPU of the training."""
    settings = SupernetTraining(
        data="digits",
        valid_share=0.3,
        method=method,
        epochs=epochs,
        seed=seed,
        batch_size=64,
        lr=0.025,
        warmup_epochs=0,
        clip_norm=5.0,
        augment="none",
    )
    space, source = settings.fitted(SPACE)
    trainer = settings.trainer(space, source, torch.device("cpu"))
    began = time.process_time()
    for _ in range(epochs):
        trainer.train_epoch()
    spent = time.process_time() - began
    supernet, found = trainer.learner.supernet, []
    inputs = [images for (images, _), _ in zip(trainer.batches.train(0), range(CALIBRATION), strict=False)]
    for cell in cells:
        subnet = supernet.extract(cell, copy_weights=False)
        recalibrate(subnet, inputs)
        found.append(trainer.examine("valid", subnet)["accuracy"])
    return found, spent


def report(rows: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Return a line per method."""
    head = ["training", "seeds", "Kendall's tau", "more than single path", "Spearman", "seconds of CPU"]
    lines = [head, ["---"] * len(head)]
    first = rows["single path"]
    for name, own in rows.items():
        taus = np.array([row["tau"] for row in own.values()])
        gaps = np.array([row["tau"] - first[seed]["tau"] for seed, row in own.items() if seed in first])
        more = "" if name == "single path" else verdict(float(gaps.mean()), standard_error(gaps))
        rho, seconds = (np.mean([row[key] for row in own.values()]) for key in ("rho", "seconds"))
        told = f"{taus.mean():.3f} ± {standard_error(taus):.3f}"
        lines.append([name, str(len(own)), told, more, f"{rho:.3f}", f"{seconds:.0f}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--cells", type=int, default=150, help="number that is scored")
    parser.add_argument("--results", default="results/subnet_aware", help="folder of results")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs, args.cells = 1, 1, 5
    torch.set_num_threads(1)
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(TABLE).sample(args.cells, random_state=0)
    cells = [SPACE.canonical(Architecture(json.loads(text))) for text in table["arch"]]
    rows: dict[str, dict[int, dict[str, float]]] = {name: {} for name in METHODS}
    for seed in range(args.seeds):
        for name, method in METHODS.items():
            file = folder / f"{name.replace(' ', '_')}_{seed}.json"
            if not file.exists():
                found, seconds = scored(method, cells, args.epochs, seed)
                tau = float(kendalltau(found, table["test_accuracy"]).statistic)
                rho = float(spearmanr(found, table["test_accuracy"]).statistic)
                write_whole(file, json.dumps({"tau": tau, "rho": rho, "seconds": seconds, "scores": found}))
            rows[name][seed] = json.loads(file.read_text())
    text = report(rows)
    write_whole(folder / "subnet_aware.md", text)
    print(text, end="")


if __name__ == "__main__":
    main()
