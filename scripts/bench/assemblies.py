"""Assemblies of a library of blocks against all combinations: how near is the integer programme to the true best?

    python scripts/bench/assemblies.py
    python scripts/bench/assemblies.py --cases gpt --results results/assemblies
    python scripts/bench/assemblies.py --cases images --npz cifar10.npz

A small model is trained ("digits": a vision transformer on the digits of scikit-learn; "images": one on the images of a
file; "gpt": a language model on the text of Python's standard library). A library gives each of its four blocks up to
seven alternatives, so that there are 4,096 assemblies at most, whose divergence from the given model is computed one
and all, on the validation split. Five limits are then solved from the library. For each the table says how far the
answer is from the true best of all assemblies within the limit, by its rank and by its divergence, and the same for the
best of five answers, which costs five forward passes. The file of results has a line for each model: what is there is
not run again.
"""

import argparse
import itertools
import json
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

import raynas
from raynas.compressing.assembling import BlockLibrary
from raynas.core.constraint import Constraint
from raynas.core.inputs import Arguments, Inputs, TensorSpec
from raynas.data.fit_space import fit_source
from raynas.errors import InfeasibleError
from raynas.trials import Distillation
from raynas.trials.output_kinds import Classes
from raynas.trials.task import Classification, Task
from raynas.trials.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.search_quality import read

ALTERNATIVES = ("width:0.5", "width:0.25", "heads:0.5", "heads:0.5+width:0.5", "grouped_query:1", "linear", "skip")

LIMITS: Sequence[Sequence[str]] = (
    ("macs <= 0.75 * baseline",),
    ("macs <= 0.5 * baseline",),
    ("macs <= 0.3 * baseline",),
    ("params <= 0.6 * baseline", "macs <= 0.6 * baseline"),
    ("latency_ms <= 0.6 * baseline", "params <= 0.7 * baseline"),
)

CPU = torch.device("cpu")


# --- models ----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Self-attention."""

    def __init__(self, width: int, n_heads: int, causal: bool) -> None:
        super().__init__()
        self.head_width, self.causal = width // n_heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, -1, self.head_width).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        found: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return found


class Block(nn.Module):
    """A transformer block."""

    def __init__(self, width: int, n_heads: int, causal: bool) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, n_heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        found: Tensor = x + self.mlp(self.norm2(x))
        return found


class Transformer(nn.Module):
    """A model of patches of images, or of tokens."""

    def __init__(self, embedding: nn.Module, length: int, width: int, n_outputs: int, n_blocks: int) -> None:
        super().__init__()
        self.is_text = isinstance(embedding, nn.Embedding)
        self.embedding = embedding
        self.positions = nn.Parameter(torch.randn(length, width) / 50)
        self.blocks = nn.ModuleList(Block(width, 4, self.is_text) for _ in range(n_blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, n_outputs)

    def begun(self, x: Tensor) -> Tensor:
        """Return the input of the first block."""
        x = self.embedding(x)
        x = x if self.is_text else x.flatten(2).transpose(1, 2)
        return x + self.positions[: x.shape[1]]

    def ended(self, x: Tensor) -> Tensor:
        """Return the logits from the output of the last block."""
        found: Tensor = self.head(self.norm(x if self.is_text else x.mean(1)))
        return found

    def forward(self, x: Tensor) -> Tensor:
        x = self.begun(x)
        for block in self.blocks:
            x = block(x)
        return self.ended(x)


# --- data ------------------------------------------------------------------------------------------------------------

LENGTH, N_TOKENS, N_TEXTS, N_VALID = 32, 128, 6400, 64


def texts() -> tuple[TensorDataset, TensorDataset]:
    """Return sequences of characters of Python's standard library, each with the characters that follow."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))[: (N_TEXTS + N_VALID) * 997]
    ids = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy()).long().clamp(max=N_TOKENS - 1)
    starts = torch.arange(N_TEXTS + N_VALID) * ((len(ids) - LENGTH - 1) // (N_TEXTS + N_VALID))
    rows = ids[starts[:, None] + torch.arange(LENGTH + 1)]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    train, valid = rows[N_VALID:], rows[:N_VALID]
    return TensorDataset(train[:, :-1], train[:, 1:]), TensorDataset(valid[:, :-1], valid[:, 1:])


class NextToken(Classification):
    """The class of each token is the one that follows it."""

    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        outputs: Tensor = Arguments.of(inputs).call(model)
        return outputs.flatten(0, 1)

    def targets(self, inputs: Inputs, labels: Any) -> Any:
        return labels.flatten()


# --- cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A model to train and to assemble again.

    Args:
        make: makes it.
        example: its inputs.
        task: of its training.
        epochs: of its training.
        training: data, and the training of the alternatives.
    """

    make: Callable[[], Transformer]
    example: Tensor
    task: Task
    epochs: int
    training: Distillation


def cases(npz: str, n_blocks: int, quick: bool) -> dict[str, Case]:
    common = {"device": "cpu", "augment": "none", "batch_size": 64, "warmup_epochs": 0.2}
    share = {"data_fraction": 0.2} if quick else {}

    def vit(n_channels: int, side: int, patch: int, width: int) -> Transformer:
        embedding = nn.Conv2d(n_channels, width, patch, patch)
        return Transformer(embedding, (side // patch) ** 2, width, 10, n_blocks)

    return {
        "digits": Case(
            lambda: vit(1, 8, 2, 48),
            torch.rand(2, 1, 8, 8),
            Classification(10),
            1 if quick else 40,
            Distillation(data="digits", epochs=1 if quick else 5, **share, **common),  # type: ignore[arg-type]
        ),
        "images": Case(
            lambda: vit(3, 32, 8, 64),
            torch.rand(2, 3, 32, 32),
            Classification(10),
            1 if quick else 15,
            Distillation(data=f"npz:{npz}", valid_share=0.04, epochs=1 if quick else 2, **share, **common),  # type: ignore[arg-type]
        ),
        "gpt": Case(
            lambda: Transformer(nn.Embedding(N_TOKENS, 64), LENGTH, 64, N_TOKENS, n_blocks),
            torch.zeros(2, LENGTH, dtype=torch.long),
            NextToken(),
            1 if quick else 10,
            Distillation(data="scripts.bench.assemblies:texts", epochs=1 if quick else 2, **share, **common),  # type: ignore[arg-type]
        ),
    }


def trained(case: Case, seed: int) -> tuple[Transformer, dict[str, float]]:
    """Return the given model and its scores on the validation split."""
    torch.manual_seed(seed)
    model = case.make()
    settings = replace(case.training, epochs=case.epochs, lr=2e-3, optimizer="adamw", weight_decay=0.01)
    source = settings.load_source().without_test().reduced(settings.data_fraction).for_inputs([case.example.dtype])
    trainer = Trainer(model, settings.batches(source, CPU), settings, seed=seed, device=CPU, task=case.task)
    while not trainer.finished:
        trainer.train_epoch()
    return model.eval(), trainer.examine()


# --- all combinations ------------------------------------------------------------------------------------------------


def enumerated(library: BlockLibrary) -> NDArray[np.float64]:
    """Return the divergence of every assembly, by the numbers of its alternatives; 0 is the given block.

    Inputs of a block are computed once for all assemblies that agree up to there.
    """
    model: Any = library.model.eval()
    training = library.training
    source = training.load_source().without_test().reduced(training.data_fraction)
    source = fit_source(source, library.space)
    modules = [
        [model.get_submodule(path), *(library.load(path, name).eval() for name in library.options[path])]
        for path in library.blocks
    ]
    total, n = np.zeros([len(each) for each in modules]), 0
    with torch.inference_mode():
        for inputs, _ in training.batches(source, CPU).examine("valid"):
            taught = Classes().rows(model(inputs))
            n += len(taught)

            def visit(x: Tensor, choices: tuple[int, ...], taught: Tensor = taught) -> None:
                if len(choices) == len(modules):
                    rows = Classes().rows(model.ended(x))
                    total[choices] += float(Classes().divergence(rows, taught, 1.0).double().sum())
                    return
                for i, module in enumerate(modules[len(choices)]):
                    visit(module(x), (*choices, i))

            visit(model.begun(inputs), ())
    return total / n


def correlations(library: BlockLibrary, truth: NDArray[np.float64]) -> dict[str, float]:
    """Return correlations of summed and true divergences over all assemblies."""
    sums = predicted(library, "divergence")
    x, y = sums.ravel(), truth.ravel()
    return {
        "pearson": float(np.corrcoef(x, y)[0, 1]),
        "pearson of logarithms": float(np.corrcoef(np.log(x + 1e-6), np.log(y + 1e-6))[0, 1]),
        "spearman": float(spearmanr(x, y).statistic),
        "kendall": float(kendalltau(x, y).statistic),
    }


def predicted(library: BlockLibrary, name: str) -> NDArray[np.float64]:
    """Return the sums of a score or cost for every assembly."""
    given, amounts = library.programme.given[name], library.programme.amounts[name]
    parts = np.meshgrid(*amounts, indexing="ij")
    total: NDArray[np.float64] = given + np.sum(parts, axis=0)
    return total


def solved(library: BlockLibrary, truth: NDArray[np.float64], limits: Sequence[str]) -> dict[str, Any]:
    """Return how far the answer under limits is from the best of all assemblies within them."""
    started = time.perf_counter()
    try:
        found = library.assemble(*limits, n=5)
    except InfeasibleError as error:
        return {"limits": list(limits), "error": str(error)}
    seconds = time.perf_counter() - started
    known = {**library.given.scores, **library.given.costs}
    within = np.ones(truth.shape, dtype=bool)
    for limit in (Constraint.parse(text).against(known) for text in limits):
        within &= limit.violations(predicted(library, limit.metric).ravel()).reshape(truth.shape) == 0
    answers = [
        tuple(["given", *library.options[path]].index(str(each.arch[path])) for path in library.blocks)
        for each in found
    ]
    feasible = np.sort(truth[within])
    sums = predicted(library, "divergence")
    measured = library.measured(found[0])
    return {
        "limits": list(limits),
        "seconds": seconds,
        "feasible": len(feasible),
        "is_least_sum": bool(np.isclose(sums[answers[0]], sums[within].min(), rtol=1e-9, atol=1e-12)),
        "choices": found[0].choices,
        "predicted": found[0].predicted["divergence"],
        "answer": float(truth[answers[0]]),
        "best": float(feasible[0]),
        "rank": int((feasible < truth[answers[0]]).sum()) + 1,
        "best_of_five": float(min(truth[each] for each in answers)),
        "rank_of_five": int((feasible < min(truth[each] for each in answers)).sum()) + 1,
        "median": float(np.median(feasible)),
        "difference_of_counts": max(abs(value) for value in found[0].differences.values()),
        "latency_ms": [each.get("latency_ms", np.nan) for each in (found[0].predicted, measured)],
    }


def result_of(
    name: str, case: Case, folder: Path, seed: int, workers: int | None, costs: Sequence[str]
) -> dict[str, Any]:
    model, scores = trained(case, seed)
    spec = TensorSpec((LENGTH,), torch.long, high=N_TOKENS) if case.example.dtype == torch.long else None
    started = time.perf_counter()
    library = raynas.block_library(
        model, case.example, case.training, folder / f"library-{name}-{seed}", alternatives=ALTERNATIVES,
        metrics=costs, inputs=spec, workers=workers,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    print(library, flush=True)
    started = time.perf_counter()
    truth = enumerated(library)
    each_ms = (time.perf_counter() - started) / truth.size * 1e3
    check(library, truth)
    return {
        "case": name,
        "seed": seed,
        "given": scores,
        "costs": library.given.costs,
        "assemblies": truth.size,
        "library_seconds": seconds,
        "ms_per_assembly": each_ms,
        "correlations": correlations(library, truth),
        "solved": [solved(library, truth, held) for held in LIMITS if all(text.split()[0] in costs for text in held)],
    }


def check(library: BlockLibrary, truth: NDArray[np.float64]) -> None:
    """Make sure that what was enumerated is what the library itself finds of a built network."""
    for assembly in library.assemble("macs <= 0.5 * baseline", n=2):
        choices = tuple(["given", *library.options[p]].index(str(assembly.arch[p])) for p in library.blocks)
        found = library.scored(assembly)["divergence"]
        if not np.isclose(found, truth[choices], rtol=1e-3, atol=1e-5):
            raise SystemExit(f"{assembly}: {found} when it is built, {truth[choices]} as enumerated")


# --- report ----------------------------------------------------------------------------------------------------------


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| model | seed | given | assemblies | Pearson | of logarithms | Spearman | Kendall | ms each |",
        "|" + " --- |" * 9,
    ]
    for row in rows:
        numbers = [f"{value:.3f}" for value in row["correlations"].values()]
        given = f"{row['given']['accuracy']:.1%}, loss {row['given']['loss']:.3f}"
        cells = [row["case"], row["seed"], given, row["assemblies"], *numbers, f"{row['ms_per_assembly']:.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    titles = ["model", "seed", "limits", "solved in", "least sum", "feasible", "sum", "true", "true best", "median",
              "rank",
              "best of 5", "its rank", "counts off by", "latency predicted / measured"]  # fmt: skip
    lines += ["", f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for row, each in itertools.chain.from_iterable(zip(itertools.repeat(r), r["solved"]) for r in rows):
        limits = " and ".join(each["limits"])
        if "error" in each:
            cells = [each["error"], *[""] * 11]
        else:
            numbers = [f"{each[name]:.4f}" for name in ("predicted", "answer", "best", "median")]
            ranks = [each["rank"], f"{each['best_of_five']:.4f}", each["rank_of_five"]]
            latency = " / ".join(f"{value:.3f}" for value in each["latency_ms"])
            least = "yes" if each["is_least_sum"] else "no"
            counts = f"{each['difference_of_counts']:g}"
            cells = [f"{each['seconds']:.2f} s", least, each["feasible"], *numbers, *ranks, counts, latency]
        lines.append("| " + " | ".join(map(str, [row["case"], row["seed"], limits, *cells])) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["digits", "gpt"], choices=["digits", "images", "gpt"])
    parser.add_argument("--npz", default="cifar10.npz", help="file of images, for the case of that name")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--results", type=Path, default=Path("results/assemblies"))
    parser.add_argument("--workers", type=int, default=None, help="actors that make the library; 0 for this process")
    parser.add_argument("--quick", action="store_true", help="two blocks and little training, to see that it runs")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.results.mkdir(parents=True, exist_ok=True)
    file = args.results / "assemblies.jsonl"
    done = {(row["case"], row["seed"]) for row in read(file)} if file.exists() else set()
    known = cases(args.npz, 2 if args.quick else 4, args.quick)
    costs = ("params", "macs") if args.quick else ("params", "macs", "latency_ms")
    for name, seed in itertools.product(args.cases, args.seeds):
        if (name, seed) not in done:
            row = result_of(name, known[name], args.results, seed, args.workers, costs)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
    text = report(read(file))
    (args.results / "assemblies.md").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
