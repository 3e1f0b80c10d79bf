"""Context managers that change the train and eval modes of a model and restore them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Restore the mode of every module when the context ends, also after an error.

    ``model.train(was_training)`` would not do: modules may differ, for example a frozen batch norm in a training model.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set eval mode and disable gradients until the context ends; then restore the mode of every module."""
    with modes_kept(model), torch.no_grad():
        model.eval()
        yield
