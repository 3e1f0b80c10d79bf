"""One mined front against networks that are fine-tuned one by one, with the same compute.

For each seed a network is trained on 800 of scikit-learn's digits with noise, see ``importance.py``: a residual one,
or a small transformer. Its members have seven widths in each group, and fewer blocks. It is mined: one fine-tune of all
members from its weights by the sandwich rule, members scored with inherited weights by NSGA-II, a sample of them
trained further (recovered). And k members with equally reduced widths, at k costs from the least to the most, are
fine-tuned separately, each as long as the compute of the mining allows. All learn from the given network and from
labels alike.

Compute is counted in multiply-adds: a forward pass counts once, a backward pass twice, those of the teacher and of the
scoring among them; not counted are members off the front, which are recovered for the correlation alone. Members are
chosen by validation images. The hypervolume is that of all recovered members of the front, or of all k networks, on
test images, in accuracy and the logarithm of multiply-adds, in percent of a network that is always right at the least
cost. Spearman's correlation of inherited scores is with recovered ones, and with the scores of the same members trained
as long from the given weights.

    python scripts/bench/mined_front.py
    python scripts/bench/mined_front.py --networks resnet --seeds 1
    python scripts/bench/mined_front.py --quick

The folder of results has a file per network and seed: what is there is not run again, so that an interrupted run can be
resumed. Nothing was tuned for this comparison: the optimizer is Adam with its usual rate everywhere.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
import raynas
from raynas.analysis import rank_correlation
from raynas.converting import ConvertedSpace, Depth, Width
from raynas.converting.options import Range
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.core.pareto import hypervolume
from raynas.files.replacing import write_whole
from raynas.metrics import read_goal
from raynas.metrics.cost import MetaModels
from raynas.nn.batch_statistics import recalibrate
from raynas.oneshot import Sandwich
from raynas.strategies import NSGA2
from raynas.testing.in_process import run_trials
from raynas.trials import Distillation, Subnet, SupernetDistillation, TrainedSupernet
from raynas.trials.supernet.writing import write_supernet
from scripts.bench.importance import BATCH, OPTIMIZERS, Residual, Transformer, noisy
from scripts.bench.summaries import standard_error, verdict

DATA = "scripts.bench.mined_front:data"
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
"""Widths of each group, as shares."""
GIVEN_EPOCHS, SUPERNET_EPOCHS, RECOVERY_EPOCHS, MEMBERS = 12, 6, 2, 150
N_FRONT, N_ACROSS = 6, 4
"""Members that are recovered: along the front, and from all others."""
KS = (4, 8)
"""Numbers of networks that are fine-tuned separately."""
N_TRAIN, N_VALID, N_TEST, DRAWS = 800, 200, 400, 2
"""Images, and draws of noise for each that is held out."""
CALIBRATION = 2
"""Batches that statistics of norms are taken on."""


# --- data ------------------------------------------------------------------------------------------------------------


@cache
def images() -> tuple[Tensor, Tensor]:
    """Return all images and labels, without noise, in the order of ``importance.digits``."""
    x, y = load_digits(return_X_y=True)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(x)))
    return torch.from_numpy(x).float().view(-1, 1, 8, 8)[order] / 8 - 1, torch.from_numpy(y).long()[order]


class Noisy:
    """Batches of the training images; order and noise are new in each epoch, by torch's generator."""

    def __len__(self) -> int:
        return -(-N_TRAIN // BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        x, y = (part[:N_TRAIN] for part in images())
        for part in torch.randperm(len(x)).split(BATCH):
            yield noisy(x[part], torch.default_generator), y[part]


def held_out(first: int, last: int) -> TensorDataset:
    """Return images counted from the end, each with several draws of noise."""
    x, y = (part[len(part) - first : len(part) - last] for part in images())
    generator = torch.Generator().manual_seed(first)
    return TensorDataset(torch.cat([noisy(x, generator) for _ in range(DRAWS)]), y.repeat(DRAWS))


def data() -> tuple[Noisy, TensorDataset, TensorDataset]:
    """Return training, validation and test images."""
    return Noisy(), held_out(N_VALID + N_TEST, N_TEST), held_out(N_TEST, 0)


# --- networks --------------------------------------------------------------------------------------------------------


def resnet() -> nn.Module:
    """Return a residual network for images of 8 x 8 pixels."""
    stem = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    down = [nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(*stem, Residual(16, 16), *down, Residual(32, 32), *head)


NETWORKS = {"resnet": resnet, "transformer": Transformer}


def train(model: nn.Module, network: str, epochs: int) -> None:
    """Train in place, with a rate that falls to 0 as a cosine."""
    model.train()
    optimizer = OPTIMIZERS[network](model.parameters(), 1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(Noisy()))
    for _ in range(epochs):
        for x, y in Noisy():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()


# --- compute ---------------------------------------------------------------------------------------------------------


class Compute:
    """Multiply-adds spent, in forward passes of the given network over one example.

    Args:
        space: the members.
    """

    def __init__(self, space: ConvertedSpace) -> None:
        self._macs, self._whole, self.spent = MetaModels(space).macs, MetaModels(space).macs(space.largest), 0.0

    def of(self, arch: Architecture) -> float:
        """Return the multiply-adds of a member, as a share of the given network's."""
        return self._macs(arch) / self._whole

    def of_training(self, archs: Sequence[Architecture]) -> float:
        """Return the compute of a training example, for members that are trained in each step, and the teacher."""
        return 1 + 3 * sum(map(self.of, archs))


# --- training --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network after its training.

    Args:
        arch: the member.
        model: the network.
        valid: scores on validation images.
        test: accuracy on test images.
    """

    arch: Architecture
    model: nn.Module
    valid: Mapping[str, float]
    test: float


def distilled(space: ConvertedSpace, arch: Architecture, teacher: nn.Module, epochs: int, seed: int) -> Trained:
    """Train a member from the weights of its space."""
    settings = Distillation(
        data=DATA, teacher=teacher, epochs=epochs, label_weight=0.5, seed=seed, batch_size=BATCH, warmup_epochs=0.5
    )
    runner = settings.runner(space)
    runner.raises = True
    runner.begin({"arch": dict(arch)})
    inputs = [batch for batch, _ in Noisy()][:CALIBRATION]
    recalibrate(runner.trial.trainer.model, inputs)  # a supernet's are over all members
    while not (result := runner.step())["done"]:
        pass
    trainer = runner.trial.trainer
    return Trained(arch, trainer.model, result, trainer.examine("test")["accuracy"])


def mined(
    space: ConvertedSpace, seed: int, args: argparse.Namespace
) -> tuple[TrainedSupernet, list[Evaluation], float]:
    """Train the supernet and score members; return them, and the compute."""
    settings = SupernetDistillation(
        data=DATA,
        method=Sandwich(),
        epochs=args.epochs,
        label_weight=0.5,
        seed=seed,
        batch_size=BATCH,
        calibration_batches=CALIBRATION,
    )
    runner = settings.runner(space)
    runner.raises = True
    runner.begin({"arch": {"method": "Sandwich"}})
    while not runner.step()["done"]:
        pass
    folder = Path(tempfile.mkdtemp(prefix="mined"))
    written = write_supernet(folder, settings.fitted(space)[0], settings, runner.trial.state())
    goal, compute = read_goal(["divergence", "macs"]), Compute(space)
    scoring = Subnet(supernet=written, data=DATA, calibration_batches=CALIBRATION, batch_size=BATCH)
    scorer = scoring.runner(space, ["divergence", "macs"])
    searcher = NSGA2().for_budget(args.members).make_searcher(space, goal, seed=seed)
    run_trials(searcher, scorer.run, args.members)
    evaluations = [e for e in searcher.archive.evaluations if e.ok]
    rng = np.random.default_rng(0)
    drawn = [[space.largest, space.smallest, space.sample(rng), space.sample(rng)] for _ in range(100)]
    spent = args.epochs * N_TRAIN * float(np.mean([compute.of_training(archs) for archs in drawn]))
    n_seen = CALIBRATION * BATCH + N_VALID * DRAWS
    spent += N_VALID * DRAWS + n_seen * sum(compute.of(e.arch) for e in evaluations)
    return written, evaluations, spent


def spread(items: Sequence[Any], n: int) -> list[Any]:
    """Return n items at even distances, the ends among them."""
    return [items[i] for i in sorted({round(float(i)) for i in np.linspace(0, len(items) - 1, n)})]


def of_share(space: ConvertedSpace, compute: Compute, share: float) -> Architecture:
    """Return the member with equally reduced sizes whose multiply-adds are nearest to a share."""

    def member(step: float) -> Architecture:
        sizes = {d.name: [int(str(option)) for option in d.options] for d in space.decisions}
        return Architecture({n: min(s, key=lambda o: abs(o - step * max(s))) for n, s in sizes.items()})

    members = {member(step) for step in np.linspace(0.1, 1, 91)}
    return min(members, key=lambda arch: (abs(np.log(compute.of(arch) / share)), arch.key))


def volume(points: Sequence[tuple[float, float]], least: float) -> float:
    """Return the hypervolume of accuracies and shares of multiply-adds, in percent of all that there can be."""
    scores = [(accuracy, np.log(1 / share)) for accuracy, share in points]
    return float(100 * hypervolume(scores, (0.0, -1e-3)) / (np.log(1 / least) + 1e-3))


# --- a seed ----------------------------------------------------------------------------------------------------------


def compared(network: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one trained network."""
    torch.manual_seed(seed)
    given = NETWORKS[network]()
    train(given, network, args.given_epochs)
    vary: dict[str, Range] = {"*": Width(*SHARES)}
    if network == "transformer":
        vary["blocks"] = Depth(1, 2)
    space = raynas.convert(given, images()[0][:2], vary=vary, divisor=1)
    compute = Compute(space)
    least = compute.of(space.smallest)
    supernet, scored, spent = mined(space, seed, args)
    goal, inherited = read_goal(["divergence", "macs"]), supernet.inherited
    front = sorted(goal.pareto_front(scored), key=lambda e: e.metrics["macs"])
    chosen = spread(front, args.front)
    others = [e for e in scored if e not in front]
    rng = np.random.default_rng(seed)
    across = [others[int(i)] for i in rng.choice(len(others), min(args.across, len(others)), replace=False)]
    recovered = [distilled(inherited, e.arch, given, args.recovery, seed) for e in [*chosen, *across]]
    alone = [distilled(space, e.arch, given, args.recovery, seed) for e in [*chosen, *across]]
    spent += args.recovery * N_TRAIN * sum(compute.of_training([e.arch]) for e in chosen)
    points = [(each.test, compute.of(each.arch)) for each in recovered[: len(chosen)]]
    row: dict[str, Any] = {
        "network": network,
        "seed": seed,
        "spent": spent,
        "n_front": len(front),
        "members": len(scored),
    }
    row |= {"decisions": len(space.decisions), "given": distillation_test(space, given), "least": least}
    row["mined"] = {"points": points, "volume": volume(points, least)}
    row["separate"] = {}
    for k in args.ks:
        shares = np.geomspace(least, 1, k)
        archs = list(dict.fromkeys(of_share(space, compute, share) for share in shares))
        epochs = max(1, round(spent / (N_TRAIN * sum(compute.of_training([arch]) for arch in archs))))
        found = [distilled(space, arch, given, epochs, seed) for arch in archs]
        points = [(each.test, compute.of(each.arch)) for each in found]
        row["separate"][str(k)] = {"points": points, "volume": volume(points, least), "epochs": epochs, "n": len(archs)}
    scores = [-e.metrics["divergence"] for e in [*chosen, *across]]
    for name, group in (("recovered", recovered), ("alone", alone)):
        later = [-each.valid["divergence"] for each in group]
        row[f"rho_{name}"] = rank_correlation(scores, later).rho
        row[f"rho_front_{name}"] = rank_correlation(scores[: len(chosen)], later[: len(chosen)]).rho
        row[f"accuracy_{name}"] = [each.test for each in group]
    return row


def distillation_test(space: ConvertedSpace, given: nn.Module) -> float:
    """Return the accuracy of the given network on test images."""
    x, y = held_out(N_TEST, 0).tensors
    with torch.no_grad():
        return float((given.eval()(x).argmax(1) == y).float().mean())


# --- table -----------------------------------------------------------------------------------------------------------


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line per network and way."""
    head = ["network", "way", "seeds", "networks", "epochs each", "hypervolume", "mined is larger by"]
    lines = [head, ["---"] * len(head)]
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        mine = np.array([row["mined"]["volume"] for row in own])
        n = f"{np.mean([len(row['mined']['points']) for row in own]):.0f}"
        lines.append([network, "mined", str(len(own)), n, "", f"{mine.mean():.2f} ± {standard_error(mine):.2f}", ""])
        for k in own[0]["separate"]:
            found = [row["separate"][k] for row in own]
            values = np.array([each["volume"] for each in found])
            gap = mine - values
            epochs = f"{np.mean([each['epochs'] for each in found]):.0f}"
            n = f"{np.mean([each['n'] for each in found]):.0f}"
            told = f"{values.mean():.2f} ± {standard_error(values):.2f}"
            cells = [network, f"{k} separately", str(len(own)), n, epochs, told]
            lines.append([*cells, verdict(float(gap.mean()), standard_error(gap))])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    keys = {"rho_recovered": "recovered", "rho_alone": "from the given weights alone"}
    keys |= {"rho_front_recovered": "recovered, front only", "rho_front_alone": "from the given weights, front only"}
    head = ["network", "given accuracy", *keys.values()]
    lines = [head, ["---"] * len(head)]
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        cells = [network, f"{100 * np.mean([row['given'] for row in own]):.1f} %"]
        for key in keys:
            values = np.array([row[key] for row in own if row[key] is not None])
            spread_of = f" ± {standard_error(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():+.2f}{spread_of}" if len(values) else "unknown")
        lines.append(cells)
    return text + "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--given-epochs", type=int, default=GIVEN_EPOCHS, help="of the given networks")
    parser.add_argument("--epochs", type=int, default=SUPERNET_EPOCHS, help="of the shared weights")
    parser.add_argument("--recovery", type=int, default=RECOVERY_EPOCHS, help="epochs of recovered members")
    parser.add_argument("--members", type=int, default=MEMBERS, help="members that are scored")
    parser.add_argument("--front", type=int, default=N_FRONT, help="members of the front that are recovered")
    parser.add_argument("--across", type=int, default=N_ACROSS, help="other members that are recovered")
    parser.add_argument("--ks", type=int, nargs="+", default=list(KS), help="numbers of separate networks")
    parser.add_argument("--results", default="results/mined_front", help="folder of results")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch: does it run?")
    args = parser.parse_args(argv)
    if args.quick:
        args.seeds = args.given_epochs = args.epochs = args.recovery = 1
        args.members, args.front, args.across, args.ks = 8, 2, 1, [2]
    torch.set_num_threads(1)
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(args.seeds):  # all networks of a seed before the next
        for network in args.networks:
            file = folder / f"{network}_{seed}.json"
            if not file.exists():
                write_whole(file, json.dumps(compared(network, seed, args)))
            rows.append(json.loads(file.read_text()))
    rows.sort(key=lambda row: args.networks.index(row["network"]))
    text = report(rows)
    write_whole(folder / "mined_front.md", text)
    print(text, end="")


if __name__ == "__main__":
    main()
