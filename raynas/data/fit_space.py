"""Fitting a search space to a data set: input shape, classes, and a network tried on them."""

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.data.sources import Source
from raynas.errors import SpaceError, UnknownNameError, one_line


def fit_space(space: SearchSpace, source: Source) -> SearchSpace:
    """Return the space with the data's input shape and classes, where they are fields of it.

    Raises:
        SpaceError: if the networks take another shape than the data has, and it cannot be changed.
    """
    space = resized_to(space, source.input_shape)
    if source.n_classes is not None and "n_classes" in fields_of(space):
        space = dataclasses.replace(space, n_classes=source.n_classes)  # type: ignore[type-var]
    if tuple(space.input_shape) != tuple(source.input_shape):
        raise SpaceError(
            f"{space.name} takes images of shape {tuple(space.input_shape)}, but {source.name} has "
            f"{tuple(source.input_shape)} (channels, height, width): make the space with that input_shape"
        )
    return space


def resized_to(space: SearchSpace, input_shape: Sequence[int]) -> SearchSpace:
    """Return the space for inputs of another shape, where ``input_shape`` is a field of it; else as it is."""
    if "input_shape" not in fields_of(space) or tuple(space.input_shape) == tuple(input_shape):
        return space
    return dataclasses.replace(space, input_shape=tuple(input_shape))  # type: ignore[type-var]


def scaled(space: SearchSpace, scale: Mapping[str, int]) -> SearchSpace:
    """Return the space with networks of another size.

    Raises:
        UnknownNameError: if a name in ``scale`` is not a field of the space.
    """
    for name in scale:
        if name not in fields_of(space):
            raise UnknownNameError(f"size of {space.name}", name, fields_of(space))
    return dataclasses.replace(space, **scale) if scale else space  # type: ignore[type-var]


def fields_of(space: SearchSpace) -> list[str]:
    """Return the fields of a space that ``dataclasses.replace`` can change; none if it is no dataclass."""
    return [f.name for f in dataclasses.fields(space) if f.init] if dataclasses.is_dataclass(space) else []


MAX_COMPUTED = 3 * 64 * 64
"""Values of an example up to which a network is run on the CPU: the shape rules of the meta device import torch._dynamo
and SymPy, which takes a second, longer than two small images take."""


def check_network(space: SearchSpace, source: Source, n_tries: int = 3) -> None:
    """Run a random member on inputs of the data's shape, before any trial does.

    Raises:
        SpaceError: if none of a few can be run, or one gives anything but a logit per class.
    """
    rng = np.random.default_rng(0)
    for _ in range(n_tries):
        arch = space.sample(rng)
        try:
            shape = _output_shape(space, arch, source.input_shape)
        except (Exception, SystemExit) as caught:
            error = caught
            continue
        if source.n_classes is not None and shape != (2, source.n_classes):
            raise SpaceError(
                f"networks of {space.name} give outputs of shape {shape} for 2 images, but {source.name} has "
                f"{source.n_classes} classes: make the space with n_classes={source.n_classes}"
            )
        return
    shape = tuple(source.input_shape)
    raise SpaceError(
        f"no network of {space.name} that was tried runs on images of shape {shape}: {one_line(error)}"
    ) from error


def _output_shape(space: SearchSpace, arch: Architecture, input_shape: Sequence[int]) -> tuple[int, ...]:
    def run(device: str) -> tuple[int, ...]:
        with torch.device(device), torch.no_grad():
            return tuple(space.build(arch).eval()(torch.zeros((2, *input_shape))).shape)

    with torch.random.fork_rng(devices=[]):
        if math.prod(input_shape) > MAX_COMPUTED:
            # Code that reads numbers out of tensors runs on a real device only.
            with contextlib.suppress(Exception, SystemExit):
                return run("meta")
        return run("cpu")
