"""Imitation: the alternatives to a block, trained to give what the block gives, each by itself.

Block-wise supervision as in DNA (Li et al., "Blockwisely Supervised Neural Architecture Search with Knowledge
Distillation", CVPR 2020) and Puzzle (Bercovich et al., 2024): inputs are those that the block gets in the given model,
the loss is the squared error relative to the mean square of its outputs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raynas.accelerators import forked_rng
from raynas.compressing.assembling.blocks import call_of
from raynas.core.inputs import Arguments, Inputs
from raynas.data.batches import Batch, Batches
from raynas.nn.dimensions.tracing import tensors_in
from raynas.seeds import seed_of
from raynas.trials.task import Task, Total


class Candidates(nn.Module):
    """Alternatives to a block, which learn from the same calls and share nothing else.

    Each draws random numbers from its own seed, so that it is trained alike whichever others are there.

    Args:
        modules: the alternatives, by name.
        seed: of their random numbers, together with their names.
    """

    def __init__(self, modules: Mapping[str, nn.Module], seed: int) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(modules.values())
        self.names = tuple(modules)
        self._seed, self._n_calls = seed, 0

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the outputs of all of them, ``(n, ...)``."""
        self._n_calls += self.training
        given = Arguments(args, kwargs)
        device = next((each.device for each in given.tensors), torch.device("cpu"))
        outputs = []
        for name, module in zip(self.names, self.candidates, strict=True):
            with forked_rng(device, enabled=self.training):
                if self.training:
                    torch.manual_seed(seed_of(self._seed, name, self._n_calls))
                # Some blocks change their inputs in place.
                output = given.map(torch.clone).call(module)
                outputs.append(next(tensors_in(output)))
        return torch.stack(outputs)


class BlockBatches(Batches):
    """Inputs and outputs of a block of a model while the model runs on data.

    Args:
        batches: the data; its targets are not used.
        model: the given model, in eval mode on the device of the data.
        path: of the block.
        precision: context of forward passes.
    """

    def __init__(self, batches: Batches, model: nn.Module, path: str, precision: Any) -> None:
        self._batches, self._model, self._path, self._precision = batches, model, path, precision

    @property
    def n_steps(self) -> int | None:
        """Number of training batches in an epoch."""
        return self._batches.n_steps

    def train(self, seed: int) -> Iterator[Batch]:
        """Yield arguments and the first output of the block in training batches."""
        return self._calls(self._batches.train(seed))

    def examine(self, part: str) -> Iterator[Batch]:
        """Yield arguments and the first output of the block in batches of a split."""
        return self._calls(self._batches.examine(part))

    def _calls(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for inputs, _ in batches:
            with torch.no_grad(), self._precision():
                call = call_of(self._model, self._path, Arguments.of(inputs))
            yield call.arguments, call.given


class Imitation(Task):
    """Scores the relative error of each alternative by its name.

    Args:
        names: of the alternatives.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Return the outputs of all alternatives."""
        outputs: Tensor = Arguments.of(inputs).call(model)
        return outputs

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of their errors: each has the gradient of its error alone."""
        return _errors(outputs, targets).sum()

    def totals(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Total]:
        """Return the error of each, weighted by the number of examples."""
        n = len(targets)
        return {name: Total(error * n, n) for name, error in zip(self._names, _errors(outputs, targets), strict=True)}


def _errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean square of the differences of each, relative to that of the targets, ``(n,)``."""
    targets = targets.float()
    power = targets.square().mean().clamp_min(1e-12)
    return (outputs.float() - targets).square().flatten(1).mean(1) / power
