"""Workers: the processes that share each batch of a training; by default one alone."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from raynas.trials.shared_batch_norm import share_statistics
from raynas.validate import require, require_whole

ItemT = TypeVar("ItemT")


class Workers:
    """One of several workers of data-parallel training, and its communication with the others; here it is alone.

    Args:
        rank: number of this worker, from 0.
        n: number of workers.
    """

    def __init__(self, rank: int = 0, n: int = 1) -> None:
        self.rank, self.n = rank, n

    def every_nth(self, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """Yield this worker's share of batches that no two workers need to see."""
        return islice(items, self.rank, None, self.n)

    def prepared(self, model: nn.Module) -> nn.Module:
        """Return a model as this worker holds it, before its optimizer is made."""
        return model

    def connected(self, model: nn.Module) -> nn.Module:
        """Return a module to call in the place of a prepared model, whose gradients are then means over all workers."""
        return model

    def examining(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which workers may call a prepared model each for itself."""
        return nullcontext()

    def whole(self, state: Any) -> Any:
        """Return the state of a prepared model, or of its optimizer, as one process would have it."""
        return state

    def load(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Load such a state into a prepared model."""
        model.load_state_dict(state)

    def load_optimizer(self, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
        """Load such a state into its optimizer."""
        optimizer.load_state_dict(dict(state))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all workers, which call this with the same parameters."""

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating-point tensors by their mean over all workers, in place."""

    def gathered(self, value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the values of all workers, in the order of their ranks."""
        return [value]


class Distributed(Workers):
    """A worker of the process group of torch, with a copy of the network (distributed data parallel, DDP)."""

    def prepared(self, model: nn.Module) -> nn.Module:
        """Let batch norms see the whole batch, so that workers compute what one process does."""
        return share_statistics(model)

    def connected(self, model: nn.Module) -> nn.Module:
        """Return the model behind torch's DDP, which averages gradients while others are still computed."""
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        # An architecture may have layers that its output does not depend on.
        return DistributedDataParallel(model, find_unused_parameters=True)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients in one message: workers sample the same selection, so they use the same parameters."""
        self.average([p.grad for p in parameters if p.grad is not None])

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Average tensors of one type, as one flat message."""
        tensors = list(tensors)
        if not tensors:
            return
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = (flat / self.n).split([tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def gathered(self, value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the values of all workers, which are small: they are pickled."""
        values: list[Any] = [None] * self.n
        distributed.all_gather_object(values, value)
        return values


def check_workers(workers: int, batch_size: int) -> None:
    """Check the number of workers that share each batch.

    Raises:
        ValueError: if it is none, or does not divide the batch.
    """
    require_whole("workers", workers, 1)
    require(batch_size % workers == 0, f"batch_size must be a multiple of workers ({workers})", batch_size)


def backend_for(resources: Mapping[str, float]) -> str:
    """Return the backend of torch's process group for workers that need these resources each.

    nccl wants a whole GPU for each worker; gloo, on the CPU, is for the others.

    Args:
        resources: by Tune's names or Ray's.
    """
    return "nccl" if max(resources.get("GPU", 0), resources.get("gpu", 0)) >= 1 else "gloo"
