"""Do inherited weights rank cells as training each of them would? NAS-Bench-201, one supernet for each method.

Trains a supernet of ``nasbench201`` on real images, with the same number of subnet passes for every method, scores
random cells of the table with inherited weights (batch norm recalibrated), and prints Kendall's tau with the table's
``test_accuracy_epoch200``, its 95 % interval by bootstrap, and that of params alone on the same cells. Runs whose file
is in the results folder already are read from it.

    python scripts/bench/supernet_ranking.py --table ../shared/data/nb201_cifar10.csv.gz \
        --data npz:../shared/data/cifar10_6k.npz --passes 60 --channels 16 --cells 1
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from raynas.data.batches import Batches
from raynas.nn import Supernet, recalibrate
from raynas.oneshot import ONESHOT, Learner, Setup
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.trials import Training

PATHS = {"single_path": 1, "fair": 5, "sandwich": 4}
"""Subnets that a step of each method trains, so that budgets can be made equal."""

CALIBRATION = 4
"""Batches of training images that the batch norms of a subnet see before it is scored."""


def train(method: str, space: NASBench201, settings: Training, batches: Batches, seed: int) -> Learner:
    """Train a supernet for ``settings.epochs``."""
    torch.manual_seed(seed)
    supernet = Supernet(space).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        supernet.parameters(), lr=settings.learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    n_steps = batches.n_steps or 1
    setup = Setup(
        supernet=supernet, optimizer=optimizer, n_epochs=settings.epochs, n_steps=n_steps, seed=seed, clip_norm=5.0
    )
    learner = ONESHOT[method]().start(setup)
    for epoch in range(settings.epochs):
        learner.begin_epoch()
        total = 0.0
        for step, batch in enumerate(batches.train(1000 * seed + epoch)):
            factor = settings.lr_factor(epoch + step / n_steps, epoch + (step + 1) / n_steps)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor
            total += float(learner.step(batch))
        learner.end_epoch(lambda: batches.examine("valid"))
        print(f"  {method} seed {seed} epoch {epoch + 1}/{settings.epochs}: loss {total / n_steps:.3f}", flush=True)
    return learner


def scores(learner: Learner, arch_strs: list[str], batches: Batches) -> list[float]:
    """Return the inherited-weight accuracy of each cell on the validation images."""
    calibration = [images for (images, _), _ in zip(batches.train(0), range(CALIBRATION), strict=False)]
    found = []
    for text in arch_strs:
        subnet = learner.supernet.extract(from_arch_str(text))
        recalibrate(subnet, calibration)
        subnet.eval()
        correct = n = 0
        with torch.inference_mode():
            for images, labels in batches.examine("valid"):
                correct += int((subnet(images).argmax(1) == labels).sum())
                n += len(labels)
        found.append(correct / n)
    return found


def interval(x: NDArray[np.float64], y: NDArray[np.float64], n: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of Kendall's tau by bootstrap over the cells."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(x), size=len(x)) for _ in range(n))
    taus = [kendalltau(x[d], y[d]).statistic for d in draws]
    return float(np.quantile(taus, 0.025)), float(np.quantile(taus, 0.975))


def told(name: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """One line of the table."""
    low, high = interval(x, y)
    return f"{name:32} tau {kendalltau(x, y).statistic:.3f}  [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="../shared/data/nb201_cifar10.csv.gz")
    parser.add_argument("--data", default="npz:../shared/data/cifar10_6k.npz")
    parser.add_argument("--methods", nargs="+", default=list(PATHS))
    parser.add_argument(
        "--passes", type=int, default=60, help="epochs times subnets per step, the same for each method"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--cells-scored", type=int, default=200)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--results", type=Path, default=Path("results/bench/supernet_ranking"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.results.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(args.table).sample(args.cells_scored, random_state=0)
    arch_strs = table["arch_str"].tolist()
    truth = table["test_accuracy_epoch200"].to_numpy()
    space = NASBench201(channels=args.channels, cells=args.cells)
    print(told("params alone", table["params_M"].to_numpy(), truth), flush=True)
    for method in args.methods:
        epochs = max(args.passes // PATHS[method], 1)
        settings = Training(data=args.data, epochs=epochs, batch_size=64, lr=args.lr)
        source = settings.load_source()
        batches = settings.batches(source.without_test(), torch.device("cpu"))
        for seed in args.seeds:
            name = f"{method}-c{args.channels}-n{args.cells}-p{args.passes}-lr{args.lr}-s{seed}"
            file = args.results / f"{name}.json"
            if not file.exists():
                began = time.process_time()
                learner = train(method, space, settings, batches, seed)
                trained = time.process_time() - began
                found = scores(learner, arch_strs, batches)
                entry = {"scores": found, "train_cpu_seconds": trained, "cpu_seconds": time.process_time() - began}
                file.write_text(json.dumps(entry))
            entry = json.loads(file.read_text())
            note = f"  ({epochs} epochs, {entry['train_cpu_seconds']:.0f} s of CPU)"
            print(told(f"{method} seed {seed}", np.array(entry["scores"]), truth) + note, flush=True)


if __name__ == "__main__":
    main()
