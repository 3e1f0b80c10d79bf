"""Fingerprint of a given model: of its weights, and of the order in which members keep parts of them."""

import hashlib

import torch
from torch import Tensor, nn

from raynas.converting.layer import Plan


def weights_fingerprint_of(model: nn.Module) -> str:
    """Return sixteen digits, which two models share if they have the same weights by the same names."""
    digest = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        _add(digest, tensor)
    return digest.hexdigest()[:16]


def fingerprint_of(plan: Plan, rest: str) -> str:
    """Return sixteen digits, which two plans of the same model share if members keep the same parts of it.

    Args:
        plan: the plan; its model must have values.
        rest: fingerprint of what else counts, such as the weights.
    """
    digest = hashlib.sha256(rest.encode())
    for name, group in plan.groups.items():
        digest.update(name.encode())
        for each in group.all:
            _add(digest, plan.orders[each.atom])
    digest.update(repr(sorted((name, list(order)) for name, order in plan.block_orders.items())).encode())
    return digest.hexdigest()[:16]


def _add(digest: "hashlib._Hash", tensor: Tensor) -> None:
    if tensor.device.type != "meta":
        plain = tensor.detach().cpu().contiguous().flatten()
        digest.update(plain.view(torch.uint8).numpy().data)
