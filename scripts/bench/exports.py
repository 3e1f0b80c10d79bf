"""Export networks of every kind in all formats, verify the files without raynas, and train them without it.

    python scripts/bench/exports.py
    python scripts/bench/exports.py --networks "space darts" "own ModelSpace" --results results/exports

A random network of every space of the catalogue, one of a user's ``ModelSpace``, members of converted models, and a
subnet of a supernet that is trained here. Each is exported and verified in a process without raynas. Then raynas's
``Trainer`` trains it for an epoch of random examples, and ``train_alone.py`` trains the exported ``model.py`` with
torch alone on the same examples, from the same seed. Where the losses differ, the table also says how far a change of
the first weights by 1e-7, which is rounding, moves the loss in raynas. The file of results has a line for each network:
what is there is not run again.
"""

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune
from torch import Tensor, nn

import raynas
from raynas import Choice, ModelSpace, Repeat, TensorSpec
from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from raynas.core.space import SearchSpace
from raynas.data.batches import Batch, Batches
from raynas.errors import RaynasError, one_line
from raynas.exporting import Exported, Provenance
from raynas.search_spaces import SEARCH_SPACES
from raynas.seeds import seed_of
from raynas.trials import Subnet, SupernetTraining, Training
from raynas.trials.task import Classification
from raynas.trials.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from scripts.bench.given_models import made
from scripts.bench.search_quality import read
from scripts.bench.train_alone import LR, MOMENTUM, train_alone

CONVERTED = ("torchvision mobilenet_v2", "LSTM classifier", "transformers BERT", "timm vit_tiny_patch16_224")
OWN, SUBNET = "own ModelSpace", "subnet of a trained supernet"
NETWORKS = (*(f"space {name}" for name in sorted(SEARCH_SPACES)), OWN, *(f"converted {n}" for n in CONVERTED), SUBNET)
FILES = ("model.py", "model.pt2", "model.onnx")


# --- networks --------------------------------------------------------------------------------------------------------


class Reader(nn.Module):
    """A classifier of texts as a user writes it: transformer layers with dropout, and a choice of activations."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 32)
        self.layers = Repeat(lambda i: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), low=1, high=3)
        self.head = nn.Sequential(nn.Linear(32, 32), Choice({"relu": nn.ReLU, "gelu": nn.GELU}), nn.Linear(32, 5))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits of shape (batch, 5) for token ids of shape (batch, 12)."""
        y: Tensor = self.head(self.layers(self.embedding(ids)).mean(1))
        return y


class Logits(nn.Module):
    """A classifier of transformers whose output is the logits alone, as training in raynas wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits of shape (batch, n_classes)."""
        y: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return y


@dataclass(frozen=True)
class Network:
    """A network, an example, and the architecture it was built of."""

    model: nn.Module
    inputs: Arguments
    arch: Architecture

    def export(self, folder: Path) -> Exported:
        """Write and verify all files."""
        return raynas.export(self.model, self.inputs, folder, about=Provenance(arch=self.arch))


def network(name: str, seed: int, folder: Path) -> Network:
    """Return a network by name; files of a training go to a folder."""
    kind, _, which = name.partition(" ")
    if name == SUBNET:
        return trained_subnet(seed, folder)
    if name == OWN:
        return member(ModelSpace(Reader, inputs=TensorSpec((12,), torch.long, high=100)), seed)
    if kind == "converted":
        model, example = made(which)
        return member(raynas.convert(Logits(model) if "transformers" in which else model, example), seed)
    return member(SEARCH_SPACES[which](input_shape=(3, 32, 32)), seed)  # type: ignore[call-arg]


def member(space: SearchSpace, seed: int) -> Network:
    """Return a random network of a space."""
    arch = space.sample(np.random.default_rng(seed))
    torch.manual_seed(seed)
    return Network(space.build(arch), space.example(2), arch)


def trained_subnet(seed: int, folder: Path) -> Network:
    """Train the supernet of a small space on digits for two epochs, and return a random subnet as it is scored."""
    space = SEARCH_SPACES["nasbench_macro"](input_shape=(1, 8, 8))  # type: ignore[call-arg]
    settings = SupernetTraining(data="digits", epochs=2)
    run_config = tune.RunConfig(storage_path=str(folder), name="supernet")
    trained = raynas.train_supernet(space, settings, progress=False, tensorboard=False, run_config=run_config)
    arch = trained.space.sample(np.random.default_rng(seed))
    subnet, _ = Subnet(supernet=trained).scored(trained.space, arch)
    return Network(subnet, trained.space.example(2), arch)


# --- one network -----------------------------------------------------------------------------------------------------


class FixedBatches(Batches):
    """Random examples and classes, the same in every epoch."""

    def __init__(self, example: Arguments, n_classes: int, *, n_steps: int, batch_size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def drawn(like: Tensor) -> Tensor:
            shape = (batch_size, *like.shape[1:])
            if like.is_floating_point():
                return torch.randn(shape, generator=generator)
            return torch.randint(int(like.max()) + 1, shape, generator=generator)

        classes = [torch.randint(n_classes, (batch_size,), generator=generator) for _ in range(n_steps)]
        self.batches: list[Batch] = [(example.map(drawn), each) for each in classes]

    @property
    def n_steps(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def train(self, seed: int) -> Iterator[Batch]:
        """Yield all batches in order."""
        yield from self.batches

    def examine(self, part: str) -> Iterator[Batch]:
        """Yield nothing: nothing is held out."""
        yield from ()


def examined(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Export a network, and train it with and without raynas; return what was found, or the reason of a failure."""
    torch.set_num_threads(1)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        try:
            given = network(name, args.seed, Path(temporary))
            done = given.export(Path(temporary) / "net")
        except (ImportError, RaynasError) as error:
            return {"reason": one_line(error)[:300]}
        row = {"report": done.report, "missing": dict(done.missing), "seconds": time.process_time() - began}
        if "model.py" not in done.files:
            return row
        return row | losses(given, Path(temporary) / "net", args)


def losses(given: Network, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the mean loss of an epoch inside raynas, and that of the export in ``folder`` without it."""
    with torch.no_grad():
        output = given.inputs.call(given.model.eval())
    if not isinstance(output, Tensor):
        return {"untrained": f"it gives a {type(output).__name__}, and Training needs logits"}
    sizes = {"n_steps": args.steps, "batch_size": args.batch_size, "seed": args.seed}
    batches = FixedBatches(given.inputs, output.shape[-1], **sizes)
    inside = trained(given.model, batches, args.seed)
    plain = [(x.args, dict(x.kwargs), y) for x, y in batches.batches]
    try:
        (each,) = train_alone([(str(folder), seed_of(args.seed, "epoch", 0), plain)])
    except RuntimeError as error:
        return {"untrained": one_line(error)}
    alone = float(sum(map(torch.tensor, each), torch.zeros(()))) / len(each)  # as the trainer sums them
    rounded = inside if alone == inside else trained(given.model, batches, args.seed, change=1e-7)
    return {"inside": inside, "alone": alone, "rounded": rounded}


def trained(model: nn.Module, batches: Batches, seed: int, *, change: float = 0) -> float:
    """Train a copy of a network for an epoch in raynas, and return the mean loss.

    Args:
        model: the network.
        batches: the data.
        seed: seed of the epoch.
        change: relative change of the first weights.
    """
    settings = Training(
        epochs=1, lr=LR, momentum=MOMENTUM, nesterov=False, weight_decay=0, schedule="constant", warmup_epochs=0
    )
    model = copy.deepcopy(model)
    next(model.parameters()).data *= 1 + change
    return Trainer(model, batches, settings, seed=seed, device=torch.device("cpu"), task=Classification()).train_epoch()


# --- all networks ----------------------------------------------------------------------------------------------------


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table."""
    lines = ["| network | params | macs | model.py ms | model.pt2 ms | model.onnx ms | CPU s | loss inside | alone |"]
    lines += ["| --- " * lines[0].count(" |") + "|"]
    lines += [f"| {row['network']} | {' | '.join(_cells(row))} |" for row in rows]
    missing = [f"- {row['network']}: no {file}: {why}" for row in rows for file, why in row.get("missing", {}).items()]
    missing += [f"- {row['network']}: not trained: {row['untrained']}" for row in rows if "untrained" in row]
    return "\n".join([*lines, "", *missing]).rstrip() + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    if "reason" in row:
        return [f"FAILED: {row['reason']}", *[""] * 7]
    found = row["report"]
    counts = [f"{found['model.py'][count]:,.0f}" if "model.py" in found else "" for count in ("params", "macs")]
    latencies = [f"{found[file]['latency_ms']:.2f}" if file in found else "" for file in FILES]
    return [*counts, *latencies, f"{row['seconds']:.1f}", *_losses(row)]


def _losses(row: Mapping[str, Any]) -> list[str]:
    if "inside" not in row:
        return ["", ""]
    inside, alone, rounded = (row[name] for name in ("inside", "alone", "rounded"))
    gaps = [f"{abs(loss - inside) / abs(inside):.0e}" for loss in (alone, rounded)]
    return [f"{inside:.6f}", "equal" if alone == inside else f"differs by {gaps[0]}, rounding by {gaps[1]}"]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NETWORK")
    parser.add_argument("--seed", type=int, default=0, help="seed of architectures, weights and examples")
    parser.add_argument("--steps", type=int, default=8, help="batches of the epoch")
    parser.add_argument("--batch-size", type=int, default=16, help="examples of a batch")
    parser.add_argument("--results", default="results/exports", help="folder of results")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "exports.jsonl"
    rows = read(file)
    for name in args.networks:
        if any(row["network"] == name for row in rows):
            continue
        rows.append({"network": name} | examined(name, args))
        with file.open("a") as out:
            out.write(json.dumps(rows[-1]) + "\n")
        print(name, flush=True)
    chosen = sorted(
        (row for row in rows if row["network"] in args.networks), key=lambda row: NETWORKS.index(row["network"])
    )
    text = report(chosen)
    (folder / "exports.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
