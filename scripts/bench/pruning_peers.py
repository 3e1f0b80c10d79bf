"""Other libraries that make a given model smaller, asked about the same models as ``raynas.convert``."""

import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.errors import one_line
from raynas.metrics.cost import count_params
from raynas.nn.dimensions.tracing import tensors_in

Peer = Callable[[nn.Module, Arguments, int], dict[str, Any]]


def first(model: nn.Module, example: Arguments) -> Tensor:
    """Return the first tensor of the output."""
    with torch.no_grad():
        return next(tensors_in(example.call(model)))


def modelopt(mode: str) -> Peer:
    """Return a trial of NVIDIA's Model Optimizer with the search space of "fastnas" (widths) or "autonas"."""

    def run(model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
        nas, utils = import_module("modelopt.torch.nas"), import_module("modelopt.torch.opt.utils")
        expected = first(model, example)
        params, began = count_params(model), time.process_time()
        converted = nas.convert(model, mode)
        found = dict(utils.named_hparams(converted, configurable=True))
        row: dict[str, Any] = {"seconds": time.process_time() - began, "decisions": len(found), "params": params}
        row["largest"] = float((first(converted.eval(), example) - expected).abs().max() / expected.abs().max())
        ran = 0
        for _ in range(n_members if found else 0):
            nas.sample(converted)
            try:
                ran += first(converted, example).shape == expected.shape
            except Exception as error:
                row["reason"] = one_line(error)[:300]
        if found:
            nas.sample(converted, min)
            row["smallest"] = count_params(nas.export(converted)) / params
        return row | {"ran": ran}

    return run


def torch_pruning(model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
    """Prune half of the channels with torch-pruning, except outputs, which its caller has to name."""
    library = import_module("torch_pruning")
    expected, params, began = first(model, example), count_params(model), time.process_time()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    inputs: Any = dict(example.kwargs) if example.kwargs else example.args
    pruner = library.pruner.BasePruner(
        model,
        inputs,
        importance=library.importance.GroupMagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=linear[-1:],
        output_transform=lambda out: next(tensors_in(out)).sum(),
    )
    n_groups = 0
    for group in pruner.step(interactive=True):
        group.prune()
        n_groups += 1
    row = {"seconds": time.process_time() - began, "decisions": n_groups, "params": params}
    row["smallest"] = count_params(model) / params
    return row | {"ran": int(first(model, example).shape == expected.shape)}


PEERS: Mapping[str, Peer] = {
    "modelopt fastnas": modelopt("fastnas"),
    "modelopt autonas": modelopt("autonas"),
    "torch-pruning": torch_pruning,
}


def examine(peer: str, model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
    """Return what a library makes of a model: seconds, decisions or groups, smallest params as a share, or a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return PEERS[peer](model, example, n_members)
        except ImportError as error:
            return {"missing": str(error)}
        except Exception as error:
            return {"reason": one_line(error)[:300]}
