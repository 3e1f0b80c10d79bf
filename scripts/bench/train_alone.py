"""Training of exported networks for an epoch with torch alone: raynas cannot be imported.

    python scripts/bench/train_alone.py FILE

FILE, which ``torch.save`` wrote, holds a list of tasks, see ``Task``. The last line of the output holds the
losses of each network in JSON.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LR, MOMENTUM = 0.001, 0.9
"""A rate at which training does not amplify differences of rounding."""

Batch = tuple[tuple[Any, ...], Mapping[str, Any], Tensor]
"""Arguments and keyword arguments of a network, and the class of each example or token."""

Task = tuple[str, int, Sequence[Batch]]
"""The folder of an export, a seed, and the batches of the epoch."""


def train_alone(tasks: Sequence[Task]) -> list[list[float]]:
    """Train exported networks in a process that cannot import raynas, and return their losses.

    Raises:
        RuntimeError: if it fails; says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        torch.save(list(tasks), Path(folder) / "tasks")
        command = [sys.executable, "-I", __file__, str(Path(folder) / "tasks")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"an exported network does not train: {done.stderr[-300:]}")
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def train(network: nn.Module, batches: Sequence[Batch], seed: int) -> list[float]:
    """Train with SGD and momentum, with channels last as raynas does on a CPU, and return the loss of each batch.

    Args:
        network: gives logits of shape (..., n_classes), or an object with the attribute ``logits``.
        batches: those of the epoch, in order.
        seed: seed of torch's generator, which dropout draws from.
    """
    torch.manual_seed(seed)
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    losses = []
    for args, kwargs, classes in batches:
        output = network(*args, **kwargs)
        logits = output if isinstance(output, Tensor) else output.logits
        loss = functional.cross_entropy(logits.flatten(0, -2), classes.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def loaded(folder: str) -> nn.Module:
    """Return the network of an export."""
    spec = importlib.util.spec_from_file_location(f"model_{abs(hash(folder))}", Path(folder) / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    network: nn.Module = module.load()
    return network


def main(file: str) -> None:
    """Train the networks that a file names, and print their losses."""
    sys.modules["raynas"] = None  # type: ignore[assignment]
    torch.set_num_threads(1)
    found = [train(loaded(folder), batches, seed) for folder, seed, batches in torch.load(file, weights_only=True)]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
