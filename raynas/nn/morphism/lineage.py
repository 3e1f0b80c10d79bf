"""An architecture that inherits the weights of another one, computing the same where it only grew.

After the inheritance of Real et al., "Large-Scale Evolution of Image Classifiers" (ICML 2017, arXiv:1703.01041), with
the function-preserving changes of Net2Net (arXiv:1511.05641) and of network morphism (Wei et al., ICML 2016,
arXiv:1603.01670) where a layer became wider, a kernel larger, or a stage deeper.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from raynas.core.architecture import Option
from raynas.core.inputs import Arguments, Inputs
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError, one_line
from raynas.nn.morphism.growth import alike_state, grow_kernels, widened_like
from raynas.nn.morphism.inheritance import Inheritance, Weights, inherit
from raynas.nn.morphism.passing_blocks import let_new_blocks_pass

logger = logging.getLogger(__name__)


def inherit_architecture(
    space: SearchSpace,
    parent_arch: Mapping[str, Option],
    parent_weights: Weights,
    child_arch: Mapping[str, Option],
    *,
    input_example: Inputs | None = None,
    seed: int = 0,
) -> nn.Module:
    """Build an architecture and let it inherit from another one by ``inherit_between``, whose report is logged.

    Args:
        space: of both architectures.
        parent_arch: the architecture of the weights.
        parent_weights: its network or state_dict.
        child_arch: the architecture to build; fresh weights come from torch's global generator.
        input_example: a batch of real inputs.
        seed: of the random choice of units that are replicated.

    Raises:
        RaynasError: if an architecture is not a member, or the weights are not those of ``parent_arch``.
    """
    child = space.build(space.canonical(child_arch))
    report = inherit_between(
        space, parent_arch, parent_weights, child_arch, child, input_example=input_example, seed=seed
    )
    logger.info("inherited: %s", report)
    return child


def inherit_between(
    space: SearchSpace,
    parent_arch: Mapping[str, Option],
    parent_weights: Weights,
    child_arch: Mapping[str, Option],
    child: nn.Module,
    *,
    input_example: Inputs | None = None,
    seed: int = 0,
) -> Inheritance:
    """Let the network of one architecture inherit from the weights of another, keeping the function where possible.

    - Weights of unchanged layers are copied by their names.
    - A wider layer is widened as in Net2Net, a larger kernel is padded with zeros; if that does not fit the child, the
      overlap is copied.
    - New blocks at the end of an ``nn.Sequential`` (a ``Repeat`` grown deeper) are set to pass their input through, if
      their last layer (in a residual block) or all layers (convolution, batch norm and ReLU behind a ReLU) can be set
      so; otherwise they keep their fresh weights, and a note says so.
    - Layers of another kind than the parent's layer of the same name (another option was chosen) stay fresh.

    Args:
        space: of both architectures.
        parent_arch: the architecture of the weights.
        parent_weights: its network or state_dict.
        child_arch: the architecture of ``child``.
        child: the network to copy into.
        input_example: a batch of real inputs, from which new batch norms take their statistics; random by default.
        seed: of the random choice of units that are replicated.

    Raises:
        RaynasError: if an architecture is not a member, or the weights are not those of ``parent_arch``.
    """
    parent_arch, child_arch = space.canonical(parent_arch), space.canonical(child_arch)
    rng = np.random.default_rng(seed)
    if input_example is None:
        input_example = space.example(4).map_real(
            lambda x: torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32)).to(x.dtype)
        )
    inputs = Arguments.of(input_example)
    with torch.random.fork_rng(devices=[]):
        parent = space.build(parent_arch)
    _load(parent, parent_weights)
    if parent_arch == child_arch:
        return inherit(child, parent)
    grow_kernels(parent, child)
    parent, widened, notes = widened_like(parent, child, inputs.to(_device(parent)), rng)
    report = inherit(child, alike_state(parent, child))
    passing, more_notes = let_new_blocks_pass(parent, child, inputs.to(_device(child)))
    return replace(report, widened=widened, passing=passing, notes=(*notes, *more_notes))


def _load(parent: nn.Module, weights: Weights) -> None:
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    try:
        parent.load_state_dict(state)  # copies
    except RuntimeError as error:
        raise RaynasError(f"the weights are not those of the parent's architecture: {one_line(error)}") from error


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
