"""Sharded: a worker that keeps a part of the weights, gradients and optimizer (fully sharded data parallel, FSDP)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from raynas.trials.workers import Distributed

MIN_SHARE = 1 / 200
"""Share of a network's weights from which on an element of a list or a sequence is a unit: others cost messages."""


class Sharded(Distributed):
    """A worker with a part of the network, whose units gather their weights from all workers when they compute.

    Units are the elements of ``nn.Sequential`` and ``nn.ModuleList`` that are large enough, and the network itself.
    States are whole, so that they can be loaded by any number of workers.
    """

    def prepared(self, model: nn.Module) -> nn.Module:
        """Let batch norms see the whole batch, and split the weights."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        model = super().prepared(model)
        total = sum(parameter.numel() for parameter in model.parameters())
        if not total:
            return model
        mesh = init_device_mesh(next(model.parameters()).device.type, (self.n,))
        split: set[nn.Parameter] = set()
        for module in [unit for unit in _candidates(model) if unit is not model]:
            own = set(module.parameters()) - split
            if sum(parameter.numel() for parameter in own) >= MIN_SHARE * total:
                fully_shard(module, mesh=mesh)
                split |= set(module.parameters())
        fully_shard(model, mesh=mesh)
        return model

    def connected(self, model: nn.Module) -> nn.Module:
        """Return the model, which averages gradients itself."""
        return model

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Leave them: those of prepared modules are averages."""

    @contextmanager
    def examining(self, model: nn.Module) -> Iterator[None]:
        """Gather all weights meanwhile, so that workers may examine different numbers of batches."""
        units = _units(model)
        for unit in units:
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()
        try:
            yield
        finally:
            for unit in units:
                unit.reshard()
                unit.set_reshard_after_forward(unit is not model, recurse=False)

    def whole(self, state: Any) -> Any:
        """Return a state with whole tensors, on the CPU of the first worker; the others help to gather them."""
        if isinstance(state, Mapping):
            return {key: self.whole(value) for key, value in state.items()}
        if isinstance(state, list):
            return [self.whole(value) for value in state]
        if not hasattr(state, "full_tensor"):
            return state
        tensor = state.full_tensor().detach()
        return tensor.cpu() if self.rank == 0 else None

    def load(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Load whole weights."""
        own = model.state_dict()
        model.load_state_dict({name: _part(tensor, own.get(name)) for name, tensor in state.items()})

    def load_optimizer(self, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
        """Load the whole state of an optimizer."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        parts = {
            i: {name: _part(value, parameters[i]) for name, value in of_one.items()}
            for i, of_one in state["state"].items()
        }
        optimizer.load_state_dict({**state, "state": parts})


def _candidates(model: nn.Module) -> list[nn.Module]:
    """Return what may be a unit, inner ones first."""
    lists = [module for module in model.modules() if isinstance(module, nn.Sequential | nn.ModuleList)]
    elements = [child for module in lists for child in module if not isinstance(child, nn.ModuleList | nn.ModuleDict)]
    return list(reversed(list(dict.fromkeys(elements))))


def _units(model: nn.Module) -> list[Any]:
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def _part(value: Any, like: Any) -> Any:
    """Return this worker's part of a whole tensor, split as another one of its shape."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(value, Tensor) and isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
