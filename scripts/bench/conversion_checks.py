"""Checks of ``raynas.convert`` on one model, and what other libraries make of the same model."""

import copy
import time
import traceback
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import raynas
from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from raynas.errors import one_line
from raynas.metrics.cost import MetaModels, count_macs, count_params
from raynas.nn.dimensions.tracing import tensors_in
from raynas.nn.supernet import Supernet
from scripts.bench.given_models import made
from scripts.bench.outputs import TOLERANCE, first, gap, output
from scripts.bench.pruning_peers import examine
from scripts.bench.silenced import silenced_output

CHECKS = ("built", "ran", "counted", "extracted", "supernet")
CLOSE_CHECKS = ("trained", "silenced")


def checked(model: nn.Module, example: Arguments, n_members: int, n_close: int) -> dict[str, Any]:
    """Convert a model, and return what was found."""
    raynas.convert(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)), torch.rand(1, 4))  # imports of torch
    began = time.process_time()
    space = raynas.convert(model, example)
    row: dict[str, Any] = {"seconds": time.process_time() - began, "params": count_params(model)}
    row |= _what_varies(space)
    expected = output(copy.deepcopy(model).double(), example)  # The given model itself must stay as it is.
    largest = space.build(space.largest)
    row["largest"] = gap(output(largest.eval().double(), example), expected)
    row["equal_costs"] = [count_params(largest), count_macs(largest.float(), example)] == [
        row["params"],
        count_macs(model, example),
    ]
    row["smallest"] = count_params(space.build(space.smallest)) / row["params"]
    return row | _members(space, model, example, n_members, n_close)


def _what_varies(space: ConvertedSpace) -> dict[str, Any]:
    coarse = sum(group.is_coarse for group in space.groups.values())
    touched = {slot.tensor for group in space.groups.values() for slot in group.slots}
    total = sum(parameter.numel() for parameter in space.plan.wiring.model.parameters())
    return {
        "widths": len(space.groups) - coarse,
        "heads": coarse,
        "depths": len(space.plan.depths),
        "share": sum(tensor.numel() for tensor in touched) / total,
        "fixed": [[each.name, each.reason] for each in space.fixed],
    }


def _members(
    space: ConvertedSpace, model: nn.Module, example: Arguments, n_members: int, n_close: int
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    archs = [space.smallest, *(space.sample(rng) for _ in range(n_members - 1))][:n_members]
    supernet, counts = Supernet(space).eval(), MetaModels(space)
    passed: dict[str, int] = dict.fromkeys((*CHECKS, *CLOSE_CHECKS), 0)
    reasons: dict[str, str] = {}
    if trains(copy.deepcopy(model), example) is not None:
        del passed["trained"]  # for the given model does not train on this example either
    for i, arch in enumerate(archs):
        for check, reason in _checks(space, supernet, counts, arch, example, closely=i < n_close).items():
            if check in passed and reason is None:
                passed[check] += 1
            elif check in passed and reason is not None:
                reasons.setdefault(check, reason)
    return {"members": len(archs), "closely": min(n_close, len(archs)), "passed": passed, "reasons": reasons}


def _checks(
    space: ConvertedSpace, supernet: Supernet, counts: MetaModels, arch: Architecture, example: Arguments, closely: bool
) -> dict[str, str | None]:
    """Return for each check that was made None, or the reason why it failed."""
    found: dict[str, str | None] = {}
    step = CHECKS[0]
    try:
        member = space.build(arch).eval()
        found[step], step = None, "ran"
        single = first(member, example)
        found[step], step = None, "counted"
        costs = [count_params(member), count_macs(member, example)]
        told = [counts.params(arch), counts.macs(arch)]
        found[step], step = None if costs == told else f"{told} instead of {costs}", "extracted"
        extracted = supernet.extract(arch).eval()
        found[step], step = _differs(first(extracted, example), single), "supernet"
        with torch.no_grad():
            found[step] = _differs(next(tensors_in(supernet(example, arch))), single)
        if not closely:
            return found
        step = "silenced"
        found[step] = _differs(output(member.double(), example), silenced_output(space, arch, example))
        found["trained"] = trains(member.float(), example)
    except Exception as error:
        found[step] = one_line(error)[:300]
    return found


def trains(model: nn.Module, example: Arguments) -> str | None:
    """Return None if a training step of all that the model computes has finite gradients, or the reason."""
    model.train()
    try:
        result = example.call(model)
        loss = sum(t.float().square().mean() for t in tensors_in(result) if t.requires_grad)
        assert isinstance(loss, Tensor)
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    except Exception as error:
        return one_line(error)[:300]
    finally:
        model.eval()
    finite = all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)
    return None if finite else "gradients that are not finite"


def _differs(value: Tensor, expected: Tensor) -> str | None:
    found = gap(value, expected)
    return None if found <= TOLERANCE else f"differs by {found:.1e} of the largest output"


def one(name: str, tool: str, n_members: int, n_close: int = 5) -> dict[str, Any]:
    """Return the result of one tool on one model."""
    torch.set_num_threads(1)
    try:
        model, example = made(name)
    except ImportError as error:
        return {"missing": str(error)}
    if tool != "raynas":
        return examine(tool, model, example, n_members)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return checked(model, example, n_members, n_close)
    except Exception as error:
        return {"reason": one_line(error)[:300], "trace": traceback.format_exc()}
