"""Accuracy that members of a converted network lose, by the importance by which they keep channels and heads.

For each seed a network is trained on scikit-learn's digits with noise: a small residual one, or a small transformer
whose tokens are the rows of an image. Without noise and weight decay they have so many channels to spare that random
ones are as good as chosen ones. All its widths are reduced by the same share, so that a member has 75 % or 50 % of its
multiply-adds, and it keeps the most important channels by each criterion, or random ones. The table has the accuracy
that the member loses against its network on held-out images, in points: as it is built, with statistics of batch norm
taken again on the training images, and after one epoch of training; mean and standard error over seeds, and how much
less than with random channels, seed by seed.

    python scripts/bench/importance.py
    python scripts/bench/importance.py --networks resnet --seeds 3
    python scripts/bench/importance.py --quick

The file of results has a line per network and seed: what is there is not run again, so that an interrupted run can be
resumed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import raynas
from raynas.converting import ConvertedSpace, Width
from raynas.converting.importance import Importance
from raynas.core.architecture import Architecture
from raynas.metrics.cost import MetaModels, count_macs
from raynas.nn.batch_statistics import recalibrate

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.search_quality import read
from scripts.bench.summaries import standard_error, verdict

CRITERIA: tuple[Importance, ...] = get_args(Importance)
SHARES = (0.75, 0.5)
"""Multiply-adds of members, as shares of their network's."""
MOMENTS = ("as built", "statistics again", "one epoch")
BATCH = 64
EPOCHS = {"resnet": 30, "transformer": 20}
"""Epochs of the given networks."""
NOISE = 0.5
"""Standard deviation of the noise on pixels, which reach from -1 to 1; new in every epoch."""
N_STEPS = 96
"""Widths of each group, at most."""
N_CALIBRATION = 8
"""Batches that the criteria see."""


# --- networks --------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(n, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(hidden, n, 3, padding=1, bias=False), nn.BatchNorm2d(n))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return F.relu(x + self.second(self.first(x)))


def resnet() -> nn.Module:
    """Return a residual network for images of 8 x 8 pixels."""
    stem = [nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    down = [nn.Conv2d(24, 48, 3, 2, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)]
    return nn.Sequential(*stem, Residual(24, 24), *down, Residual(48, 48), *head)


class Block(nn.Module):
    """Attention and a perceptron, each after a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (batch, tokens, width)."""
        y = self.before(x)
        q, k, v = (f(y).view(*y.shape[:2], self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.after(x))
        return out


class Transformer(nn.Module):
    """A transformer whose tokens are the rows of an image of 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Linear(8, 32), nn.Parameter(0.02 * torch.randn(8, 32))
        self.blocks = nn.Sequential(Block(32, 8), Block(32, 8))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        tokens = self.blocks(self.embedding(x.flatten(1, 2)) + self.positions)
        y: Tensor = self.head(self.norm(tokens).mean(1))
        return y


NETWORKS = {"resnet": resnet, "transformer": Transformer}
OPTIMIZERS: Mapping[str, Callable[[Iterator[nn.Parameter], float], torch.optim.Optimizer]] = {
    "resnet": lambda weights, rate: torch.optim.SGD(weights, 0.05 * rate, 0.9, weight_decay=1e-3, nesterov=True),
    "transformer": lambda weights, rate: torch.optim.AdamW(weights, 0.005 * rate, weight_decay=0.01),
}
"""Optimisers of the networks, given parameters and a share of their usual learning rate."""


# --- training --------------------------------------------------------------------------------------------------------


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return 1,197 images with labels to train on, still without noise, and 600 that are held out."""
    images, labels = load_digits(return_X_y=True)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
    x = torch.from_numpy(images).float().view(-1, 1, 8, 8)[order] / 8 - 1
    y = torch.from_numpy(labels).long()[order]
    return x[:-600], y[:-600], noisy(x[-600:], torch.Generator().manual_seed(0)), y[-600:]


def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images with noise."""
    return x + NOISE * torch.randn(x.shape, generator=generator)


def batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch, in the order of the seed."""
    x, y, _, _ = digits()
    generator = torch.Generator().manual_seed(seed)
    for part in torch.randperm(len(x), generator=generator).split(BATCH):
        yield noisy(x[part], generator), y[part]


def train(model: nn.Module, network: str, epochs: int, seed: int, rate: float = 1.0) -> None:
    """Train in place, with weight decay and a rate that falls to 0 as a cosine.

    Args:
        model: a network or a member of it.
        network: its name, which chooses the optimiser.
        epochs: number of epochs.
        seed: of the order of images, and of their noise.
        rate: at the start, as a share of that of the given network.
    """
    model.train()
    optimizer = OPTIMIZERS[network](model.parameters(), rate)
    n_steps = epochs * len(list(batches(0)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for epoch in range(epochs):
        for x, y in batches(1000 * seed + epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def accuracy(model: nn.Module) -> float:
    """Return the accuracy on the held-out images, in percent."""
    _, _, x, y = digits()
    with torch.no_grad():
        return 100 * float((model.eval()(x).argmax(1) == y).float().mean())


# --- members ---------------------------------------------------------------------------------------------------------


def converted(model: nn.Module, criterion: Importance, seed: int) -> ConvertedSpace:
    """Return the space of members with every width; criteria see a few batches of the training images."""
    few = list(batches(seed))[:N_CALIBRATION]
    extra: dict[str, Any] = {}
    if criterion == "taylor":
        extra["losses"] = lambda net: (F.cross_entropy(net(x), y) for x, y in few)
    elif criterion == "activation":
        extra["batches"] = [x for x, _ in few]
    vary = {"*": Width(*(i / N_STEPS for i in range(1, N_STEPS + 1)))}
    return raynas.convert(model, digits()[0][:2], vary=vary, divisor=1, importance=criterion, seed=seed, **extra)


def of_size(space: ConvertedSpace, share: float) -> Architecture:
    """Return the member with equally reduced widths whose multiply-adds are nearest to a share of the largest one's."""

    def of_step(step: int) -> Architecture:
        sizes = {d.name: [int(str(option)) for option in d.options] for d in space.decisions}
        return Architecture({n: min(s, key=lambda o: abs(o - step / N_STEPS * max(s))) for n, s in sizes.items()})

    def excess(step: int) -> float:
        return counts.macs(of_step(step)) / counts.macs(space.largest) - share

    counts, low, high = MetaModels(space), 1, N_STEPS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return of_step(min((low, high), key=lambda step: abs(excess(step))))


def losses_of(network: str, seed: int, epochs: int) -> dict[str, Any]:
    """Return what members of one trained network lose, in points, by criterion and share, at each of ``MOMENTS``."""
    torch.manual_seed(seed)
    model = NETWORKS[network]()
    train(model, network, epochs, seed)
    row: dict[str, Any] = {"network": network, "seed": seed, "accuracy": accuracy(model), "loss": {}}
    archs: dict[float, Architecture] = {}
    for criterion in CRITERIA:
        space = converted(model, criterion, seed)
        for share in SHARES:
            arch = archs[share] if share in archs else archs.setdefault(share, of_size(space, share))
            member = space.build(arch)
            found = [accuracy(member)]
            recalibrate(member, [x for x, _ in batches(seed)])
            found.append(accuracy(member))
            train(member, network, 1, seed + 500, rate=0.1)
            found.append(accuracy(member))
            row["loss"][f"{criterion} {share}"] = [row["accuracy"] - each for each in found]
    whole = count_macs(model, (1, 8, 8))
    row["macs"] = [count_macs(space.build(archs[share]), (1, 8, 8)) / whole for share in SHARES]
    return row


# --- table -----------------------------------------------------------------------------------------------------------


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line per network, share of multiply-adds, and criterion."""
    head = ["network", "MACs", "importance", "seeds"]
    head += [text for moment in MOMENTS for text in (moment, "less than random")]
    lines = [head, ["---"] * len(head)]
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        for i, share in enumerate(SHARES):
            chance = np.array([row["loss"][f"random {share}"] for row in own])
            macs = np.mean([row["macs"][i] for row in own])
            for criterion in CRITERIA:
                values = np.array([row["loss"][f"{criterion} {share}"] for row in own])
                cells = [network, f"{macs:.0%}", criterion, str(len(own))]
                for mine, random in zip(values.T, chance.T, strict=True):
                    less = random - mine
                    cells.append(f"{mine.mean():.1f} ± {standard_error(mine):.1f}")
                    cells.append("" if criterion == "random" else verdict(float(less.mean()), standard_error(less)))
                lines.append(cells)
        accuracies = [row["accuracy"] for row in own]
        lines.append([network, "100%", "", str(len(own)), f"accuracy {np.mean(accuracies):.1f}", *[""] * 5])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help=f"of the given networks; by default {EPOCHS}")
    parser.add_argument("--results", default="results/importance", help="folder of results")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds, args.epochs = 1, 1
    torch.set_num_threads(1)
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "importance.jsonl"
    rows = read(file)
    epochs = {network: args.epochs or EPOCHS[network] for network in args.networks}
    done = {(row["network"], row["seed"]) for row in rows if row["epochs"] == epochs.get(row["network"])}
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for network in args.networks:
        for seed in seeds:
            if (network, seed) not in done:
                rows.append({"epochs": epochs[network]} | losses_of(network, seed, epochs[network]))
                with file.open("a") as out:
                    out.write(json.dumps(rows[-1]) + "\n")
    chosen = [row for row in rows if row["network"] in args.networks and row["seed"] in seeds]
    text = report([row for row in chosen if row["epochs"] == epochs[row["network"]]])
    (folder / "importance.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
