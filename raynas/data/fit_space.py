"""Fitting a search space to a data set: input shape, classes, and a network tried on them."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from raynas.core.architecture import Architecture
from raynas.core.extended_space import ExtendedSpace, network_space
from raynas.core.inputs import Arguments, Inputs, InputSpec, TensorSpec, describe, leaves, make_example, spec_of
from raynas.core.space import SearchSpace
from raynas.data.logits import as_logits
from raynas.data.sources import Source
from raynas.errors import RaynasError, SpaceError, UnknownNameError, code_of, one_line


def fit_space(space: SearchSpace, source: Source) -> SearchSpace:
    """Return the space with the data's input shape and classes, where they are fields of it.

    Raises:
        SpaceError: if the networks take another shape than the data has, and it cannot be changed.
    """
    space = resized_to(space, source.input_shape)
    if source.n_classes is not None and "n_classes" in fields_of(space):
        space = _replaced(space, n_classes=source.n_classes)
    if not takes(space, source.inputs):
        both_images = _is_image(space.inputs) and _is_image(source.inputs)
        hint = " (channels, height, width): make the space with that input_shape" if both_images else " for an example"
        raise SpaceError(
            f"{space.name} takes {_named(space.inputs)}, but {source.name} has "
            f"{source.input_shape if both_images else describe(source.inputs)}{hint}"
        )
    return space


def _is_image(spec: InputSpec) -> bool:
    return isinstance(spec, TensorSpec) and spec.dtype.is_floating_point and len(spec.shape) == 3


def _named(spec: InputSpec) -> str:
    return f"images of shape {spec.sizes()}" if isinstance(spec, TensorSpec) and _is_image(spec) else describe(spec)


def takes(space: SearchSpace, inputs: Inputs | InputSpec) -> bool:
    """Return True if networks of a space take inputs: as many, by the same names, and of their shapes."""
    wanted, given = space.example(2, "meta"), Arguments.of(inputs)  # type: ignore[arg-type]
    shapes = [leaf.sizes() for leaf in leaves(spec_of(given)) if isinstance(leaf, TensorSpec)]
    if (len(wanted.args), *sorted(wanted.kwargs)) != (len(given.args), *sorted(given.kwargs)):
        return False
    if callable(space.inputs):  # Which sizes vary, only the function knows.
        return len(shapes) == len(wanted.tensors)
    specs = [leaf for leaf in leaves(Arguments.of(space.inputs)) if isinstance(leaf, TensorSpec)]  # type: ignore[arg-type]
    if len(specs) != len(wanted.tensors):  # Examples, or a space that overrides ``example_input`` alone.
        specs = [TensorSpec(tensor.shape[1:]) for tensor in wanted.tensors]
    return len(specs) == len(shapes) and all(spec.fits(shape) for spec, shape in zip(specs, shapes, strict=True))


def fit_source(source: Source, space: SearchSpace) -> Source:
    """Return the source with inputs of the types that networks of a space take, such as whole numbers."""
    return source.for_inputs([tensor.dtype for tensor in space.example(1, "meta").tensors])


def resized_to(space: SearchSpace, input_shape: Sequence[int]) -> SearchSpace:
    """Return the space for inputs of another shape, where ``input_shape`` is a field of it; else as it is."""
    if "input_shape" not in fields_of(space) or tuple(space.input_shape) == tuple(input_shape):
        return space
    return _replaced(space, input_shape=tuple(input_shape))


def scaled(space: SearchSpace, scale: Mapping[str, int]) -> SearchSpace:
    """Return the space with networks of another size.

    Raises:
        UnknownNameError: if a name in ``scale`` is not a field of the space.
    """
    for name in scale:
        if name not in fields_of(space):
            raise UnknownNameError(f"size of {space.name}", name, fields_of(space))
    return _replaced(space, **scale) if scale else space


def _replaced(space: SearchSpace, **sizes: object) -> SearchSpace:
    """Return the space with other values of fields, of the space inside where there are further decisions."""
    if isinstance(space, ExtendedSpace):
        return space.around(_replaced(space.space, **sizes))
    return dataclasses.replace(space, **sizes)  # type: ignore[type-var]


def fields_of(space: SearchSpace) -> list[str]:
    """Return the fields that decide the size of a space's networks; none if it is no dataclass."""
    space = network_space(space)
    return [f.name for f in dataclasses.fields(space) if f.init] if dataclasses.is_dataclass(space) else []


MAX_COMPUTED = 3 * 64 * 64
"""Values of an example up to which a network is run on the CPU: the shape rules of the meta device import torch._dynamo
and SymPy, which takes a second, longer than two small images take."""


def check_network(space: SearchSpace, source: Source, n_tries: int = 3) -> None:
    """Run a random member on inputs of the data's shape, and look at the data, before any trial does.

    Raises:
        SpaceError: if none of a few can be run, or one gives anything but a logit per class.
        DataError: if the data holds inputs of other shapes, or a label without a logit.
    """
    rng = np.random.default_rng(0)
    for _ in range(n_tries):
        arch = space.sample(rng)
        try:
            output = _output(space, arch, source)
        except (Exception, SystemExit) as caught:
            error = caught
            continue
        logits = _checked_logits(output, space, source)
        return source.check(partial(takes, space), logits.shape[1])
    raise SpaceError(
        f"no network of {space.name} that was tried runs on {_named(source.inputs)}: {one_line(error)}{code_of(error)}"
    ) from error


def _checked_logits(output: object, space: SearchSpace, source: Source) -> Tensor:
    try:
        logits = as_logits(output, 2)
    except RaynasError as error:
        raise SpaceError(f"networks of {space.name}: {error}") from None
    if source.n_classes is not None and logits.shape[1] != source.n_classes:
        raise SpaceError(
            f"networks of {space.name} give outputs of shape {tuple(logits.shape)} for 2 examples, but {source.name} "
            f"has {source.n_classes} classes: make the space, or its model, for {source.n_classes} classes"
        )
    return logits


def _output(space: SearchSpace, arch: Architecture, source: Source) -> object:
    fits = takes(space, source.inputs)

    def run(device: str) -> object:
        with torch.device(device), torch.no_grad():
            inputs = space.example(2, device) if fits else Arguments.of(make_example(source.inputs, 2, device))
            return inputs.call(space.build(arch).eval())

    with torch.random.fork_rng(devices=[]):
        if sum(tensor.numel() for tensor in space.example(1, "meta").tensors) > MAX_COMPUTED:
            # Code that reads numbers out of tensors runs on a real device only.
            with contextlib.suppress(Exception, SystemExit):
                return run("meta")
        return run("cpu")
