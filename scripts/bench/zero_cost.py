"""Do zero-cost proxies rank cells as training does, and what do they cost? NAS-Bench-201 on real images.

Scores random cells of the table by every proxy, and prints Spearman's rank correlation with the table's
``test_accuracy_epoch200`` (cells that a proxy could not score are ranked last), its 95 % interval by bootstrap, and the
ensemble's. Of cells that are the same network, as 15,625 are 6,466 different ones, one represents all. On a few cells
it measures the CPU seconds of each proxy alone, of all in one go, and of a plain implementation of the same formula on
the same images. Cells whose scores are in the results file are not scored again.

    python scripts/bench/zero_cost.py --table ../shared/data/nb201_cifar10.csv.gz \
        --images ../shared/data/cifar10_6k.npz --n-cells 300
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raynas.metrics.zero_cost import ENSEMBLE, ZERO_COST, Batch, rank_ensemble, zero_cost_scores
from raynas.search_spaces import NASBench201
from raynas.search_spaces.nasbench201 import from_arch_str
from raynas.seeds import seed_of
from raynas.trials import Training

GOALS = {"synflow": 0.72, "naswot": 0.77, "jacob_cov": 0.74, "grad_norm": 0.58, "snip": 0.58, "ensemble": 0.82}
"""Rank correlations to reach."""

PLAIN_SECONDS = {"grad_norm": 0.72, "snip": 0.77, "grasp": 2.3, "fisher": 0.82, "synflow": 0.28, "jacob_cov": 0.82}
"""CPU seconds of plain implementations that the goal (at most half) was set by."""

SPACE = NASBench201()


def network(text: str, seed: int) -> nn.Module:
    """Return the network of a cell, with the weights that a trial of that seed gives it."""
    arch = from_arch_str(text)
    torch.manual_seed(seed_of(seed, arch.key, "weights"))
    return SPACE.build(arch)


def batch_of(path: str, size: int, seed: int) -> Batch:
    """Return a batch of normalised training images."""
    settings = Training(data=f"npz:{path}", batch_size=size, augment="none")
    batches = settings.batches(settings.load_source(), torch.device("cpu"))
    return Batch(*next(iter(batches.train(seed))))


# --- ranking ---------------------------------------------------------------------------------------------------------


def scored(texts: list[str], batch: Batch, names: list[str], file: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Return the record of each cell; what is not in the file is scored and appended to it."""
    known: dict[str, dict[str, Any]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        record = json.loads(line)
        merged = known.setdefault(record["cell"], {"values": {}, "failures": {}})
        merged["values"] |= record["values"]
        merged["failures"] |= record["failures"]
    for n, text in enumerate(texts, 1):
        record = known.setdefault(text, {"values": {}, "failures": {}})
        missing = [name for name in names if name not in record["values"] and name not in record["failures"]]
        if not missing:
            continue
        began = time.process_time()
        scores = zero_cost_scores(network(text, seed), batch, missing, seed=seed)
        seconds = time.process_time() - began
        record["values"] |= scores.values
        record["failures"] |= scores.failures
        entry = {"cell": text, "values": scores.values, "failures": scores.failures, "cpu_seconds": seconds}
        with file.open("a") as out:
            out.write(json.dumps(entry) + "\n")
        if n % 10 == 0:
            print(f"  {n}/{len(texts)} cells, the last in {seconds:.2f} s of CPU", flush=True)
    return known


def interval(x: NDArray[np.float64], y: NDArray[np.float64], n: int = 1000) -> tuple[float, float]:
    """Return the 95 % interval of the correlation by bootstrap over the cells."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(x), size=len(x)) for _ in range(n))
    found = [spearmanr(x[d], y[d]).statistic for d in draws]
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def print_ranking(records: list[dict[str, Any]], truth: NDArray[np.float64], names: list[str]) -> None:
    """Return a line for each proxy, and the ensemble's."""
    columns = {name: [r["values"].get(name) for r in records] for name in names}
    if set(ENSEMBLE) <= set(names):
        columns["ensemble"] = list(rank_ensemble({name: columns[name] for name in ENSEMBLE}))
    for name, column in columns.items():
        failed = sum(value is None for value in column)
        values = np.array([-np.inf if value is None else value for value in column])
        rho, (low, high) = spearmanr(values, truth).statistic, interval(values, truth)
        of = [v is not None for v in column]
        rest = f", {failed} failed (without them {spearmanr(values[of], truth[of]).statistic:.3f})" if failed else ""
        goal = f"  goal {GOALS[name]:.2f}" if name in GOALS else ""
        print(f"{name:12} rho {rho:.3f} [{low:.3f}, {high:.3f}]{goal}{rest}")
    print(f"ensemble of {', '.join(ENSEMBLE)}; {len(records)} cells")


# --- time ------------------------------------------------------------------------------------------------------------


def weights_of(model: nn.Module) -> list[Tensor]:
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def plain_gradient(model: nn.Module, batch: Batch, score: Callable[[Tensor, Tensor], Tensor]) -> float:
    model.train().zero_grad()
    cross_entropy(model(batch.inputs), batch.labels).backward()
    return sum(float(score(w.detach(), w.grad)) for w in weights_of(model) if w.grad is not None)


def plain_grasp(model: nn.Module, batch: Batch) -> float:
    model.train()
    weights = weights_of(model)
    loss = cross_entropy(model(batch.inputs), batch.labels)
    first = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    product = sum((g * g.detach()).sum() for g in first if g is not None)
    assert isinstance(product, Tensor)
    second = torch.autograd.grad(product, weights, allow_unused=True)
    return sum(-float((w.detach() * h).sum()) for w, h in zip(weights, second, strict=True) if h is not None)


def plain_fisher(model: nn.Module, batch: Batch) -> float:
    model.train().zero_grad()
    maps: list[tuple[Tensor, int]] = []

    def collect(module: nn.Module, args: Any, output: Tensor) -> None:
        output.retain_grad()
        maps.append((output, module.weight[0].numel()))  # type: ignore[index]

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(collect) for layer in layers]
    cross_entropy(model(batch.inputs), batch.labels).backward()
    for hook in hooks:
        hook.remove()
    products = [(each.detach() * each.grad, n) for each, n in maps if each.grad is not None]
    sums = [(p.sum((2, 3)) if p.ndim == 4 else p, n) for p, n in products]
    return sum(n * float(s.square().mean(0).sum()) / 2 for s, n in sums)


def plain_synflow(model: nn.Module, batch: Batch) -> float:
    """With all else as in evaluation mode at initialisation, where batch norm changes nothing."""
    model.eval().zero_grad()
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    model(torch.ones_like(batch.inputs[:1], dtype=torch.float64)).sum().backward()
    return sum(float((w * w.grad).abs().sum()) for w in weights_of(model) if w.grad is not None)


def plain_jacob_cov(model: nn.Module, batch: Batch) -> float:
    model.train().zero_grad()
    images = batch.inputs.clone().requires_grad_()
    model(images).backward(torch.ones(len(images), 10))
    assert images.grad is not None
    values = np.linalg.eigvalsh(np.corrcoef(images.grad.flatten(1).numpy())) + 1e-5
    return float(-(np.log(values) + 1 / values).sum())


PLAIN: Mapping[str, Callable[[nn.Module, Batch], float]] = {
    "grad_norm": lambda model, batch: plain_gradient(model, batch, lambda w, g: g.norm()),
    "snip": lambda model, batch: plain_gradient(model, batch, lambda w, g: (w * g).abs().sum()),
    "grasp": plain_grasp,
    "fisher": plain_fisher,
    "synflow": plain_synflow,
    "jacob_cov": plain_jacob_cov,
}


def print_times(texts: list[str], batch: Batch, names: list[str], seed: int) -> None:
    """Return a line for each proxy: mean CPU seconds of a network over ``texts``, and the difference of the scores."""
    plain_batch = Batch(batch.inputs.contiguous(), batch.labels)
    ours: dict[str, list[float]] = {name: [] for name in [*names, "all in one go"]}
    plain: dict[str, list[float]] = {name: [] for name in PLAIN if name in names}
    apart: dict[str, list[float]] = {name: [] for name in plain}
    zero_cost_scores(network(texts[0], seed), batch, names, seed=seed)  # the first use of anything takes longer
    for text in texts:
        for name in names:
            model = network(text, seed)
            began = time.process_time()
            value = zero_cost_scores(model, batch, [name], seed=seed).values.get(name, np.nan)
            ours[name].append(time.process_time() - began)
            if name not in PLAIN:
                continue
            began = time.process_time()
            expected = PLAIN[name](model, plain_batch)
            plain[name].append(time.process_time() - began)
            apart[name].append(abs(value / expected - 1) if expected else 0.0)
        began = time.process_time()
        zero_cost_scores(network(text, seed), batch, names, seed=seed)
        ours["all in one go"].append(time.process_time() - began)
    for name, seconds in ours.items():
        line = f"{name:14} {np.mean(seconds):.3f} s of CPU"
        if name in plain:
            ratio = np.mean(seconds) / np.mean(plain[name])
            line += f", plain {np.mean(plain[name]):.3f} ({ratio:.2f} of it), scores apart by {max(apart[name]):.0e}"
        if name in PLAIN_SECONDS:
            line += f"; goal {PLAIN_SECONDS[name] / 2:.2f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default="../shared/data/nb201_cifar10.csv.gz")
    parser.add_argument("--images", default="../shared/data/cifar10_6k.npz")
    parser.add_argument("--n-cells", type=int, default=300)
    parser.add_argument("--repeated", action="store_true", help="draw cells as they stand, though many are the same")
    parser.add_argument("--n-timed", type=int, default=5, help="cells whose CPU time is measured; 0 for none")
    parser.add_argument("--proxies", nargs="+", default=list(ZERO_COST))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="of weights and batch; the cells are always the same")
    parser.add_argument("--results", type=Path, default=Path("results/bench/zero_cost"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.results.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(args.table)
    if not args.repeated:
        table = table.drop_duplicates("isomorph")
    table = table.sample(args.n_cells, random_state=0)
    texts = table["arch_str"].tolist()
    batch = batch_of(args.images, args.batch_size, args.seed)
    if args.n_timed:
        print_times(texts[: args.n_timed], batch, args.proxies, args.seed)
    file = args.results / f"b{args.batch_size}-s{args.seed}.jsonl"
    known = scored(texts, batch, args.proxies, file, args.seed)
    truth = table["test_accuracy_epoch200"].to_numpy()
    print_ranking([known[text] for text in texts], truth, args.proxies)


if __name__ == "__main__":
    main()
