"""Other libraries that make a given model smaller, asked about the same models as ``raynas.convert``."""

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.errors import one_line
from raynas.metrics.cost import count_params
from raynas.nn.dimensions.tracing import tensors_in
from scripts.bench.numbered import gap_of_pruned, number
from scripts.bench.outputs import gap, output

Peer = Callable[[nn.Module, Arguments, int], dict[str, Any]]
"""Takes a model in double precision, an example and a number of samples."""


def modelopt(mode: str) -> Peer:
    """Return a trial of NVIDIA's Model Optimizer with the search space of "fastnas" (widths) or "autonas"."""

    def run(model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
        nas, utils = import_module("modelopt.torch.nas"), import_module("modelopt.torch.opt.utils")
        given, expected = copy.deepcopy(model), output(model, example)
        began = time.process_time()
        converted = nas.convert(model, mode)
        found = dict(utils.named_hparams(converted, configurable=True))
        row: dict[str, Any] = {"seconds": time.process_time() - began, "decisions": len(found)}
        row["largest"] = gap(output(converted.eval(), example), expected)
        row["samples"] = n_members if found else 0
        row["ran"] = 0
        for _ in range(row["samples"]):
            nas.sample(converted)
            try:
                row["ran"] += output(converted, example).shape == expected.shape
            except Exception as error:
                row["reason"] = one_line(error)[:300]
        if not found:
            return row
        nas.sample(converted, min)
        row["smallest"] = count_params(nas.export(copy.deepcopy(converted))) / count_params(given)
        number(converted)
        for name, depth in found.items():
            if name.endswith("depth"):  # Blocks that are missing are no weights that are zero.
                depth.active = depth.max
        return row | {"gap": gap_of_pruned(nas.export(converted), given, example)}

    return run


def torch_pruning(model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
    """Prune half of the channels with torch-pruning, except outputs, which its caller has to name."""
    library = import_module("torch_pruning")
    given, expected, began = copy.deepcopy(model), output(model, example), time.process_time()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    inputs: Any = dict(example.kwargs) if example.kwargs else example.map_real(Tensor.double).args
    pruner = library.pruner.BasePruner(
        model,
        inputs,
        importance=library.importance.GroupMagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=linear[-1:],
        output_transform=lambda out: next(tensors_in(out)).sum(),
    )
    number(model)
    n_groups = 0
    for group in pruner.step(interactive=True):
        group.prune()
        n_groups += 1
    row: dict[str, Any] = {"seconds": time.process_time() - began, "decisions": n_groups, "samples": 1}
    row |= _smaller(model, given, example)
    return row | {"ran": int(output(model, example).shape == expected.shape)}


def kirigami(model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
    """Prune the first half of all channels that torch-kirigami finds, in one plan."""
    library, pruning = import_module("torch_kirigami"), import_module("torch_kirigami.pruning")
    given, expected, began = copy.deepcopy(model), output(model, example), time.process_time()
    number(model)
    example = example.map_real(Tensor.double)
    graph = library.DependencyGraph.build(model, args=example.args, kwargs=dict(example.kwargs))
    pruner = pruning.Pruner(model, graph=graph)
    axes = pruner.discover_candidates().channel_axes
    row: dict[str, Any] = {"seconds": time.process_time() - began, "decisions": len(axes), "samples": 1}
    plan = pruner.plan_remove([axis.select(range(axis.tensor.shape[axis.dim] // 2)) for axis in axes])
    pruned, _ = pruner.apply(plan)
    row |= _smaller(pruned, given, example)
    return row | {"ran": int(output(pruned, example).shape == expected.shape)}


def _smaller(pruned: nn.Module, given: nn.Module, example: Arguments) -> dict[str, float]:
    return {
        "smallest": count_params(pruned) / count_params(given),
        "gap": gap_of_pruned(pruned, given, example),
    }


PEERS: Mapping[str, Peer] = {
    "modelopt fastnas": modelopt("fastnas"),
    "modelopt autonas": modelopt("autonas"),
    "torch-pruning": torch_pruning,
    "torch-kirigami": kirigami,
}


def examine(peer: str, model: nn.Module, example: Arguments, n_members: int) -> dict[str, Any]:
    """Return what a library makes of a model.

    Returns:
        CPU "seconds" to trace or convert; "decisions": widths or groups; of "samples" how many "ran"; the params of the
        "smallest" network as a share, and its "gap" to the given model with silent channels. A "reason" if it failed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return PEERS[peer](model.double(), example, n_members)
        except ImportError as error:
            return {"missing": str(error)}
        except Exception as error:
            return {"reason": one_line(error)[:300]}
