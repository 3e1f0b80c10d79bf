"""Check of each resolution: members must compute with smaller images what the given model does with its own."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from raynas.converting.images import Images
from raynas.converting.members import Wiring
from raynas.converting.traceable import traceable
from raynas.core.inputs import Arguments, make_example
from raynas.errors import SpaceError, one_line
from raynas.nn.dimensions.expressions import Kept, atoms, size_of
from raynas.nn.dimensions.tracing import Recording, Trace, tensors_in

LOOKUPS = ("slice", "select", "index", "index_select", "embedding", "gather", "split", "split_with_sizes")
"""Operations that take a part of a table."""


class ResolutionCheck:
    """Runs of members with smaller images.

    Args:
        wiring: the model.
        example: what it takes.
        trace: its run.
    """

    def __init__(self, wiring: Wiring, example: Arguments, trace: Trace) -> None:
        self.wiring, self.example, self.trace = wiring, example, trace
        tensors = [tensor for dimensions in wiring.dimensions.values() for tensor in dimensions]
        batch = trace.of(example.tensors[0])[:1]
        self._constant = {atom for dimension in (*tensors, *batch) for atom in atoms(dimension)}
        self._given = self._run({}, example)
        self._failure_in_training = self._training(example)

    def check(self, options: Mapping[Images, Sequence[int]], smallest: Kept) -> None:
        """Run the model with each resolution, and the narrowest member with the smallest one of all.

        Args:
            options: sides of images.
            smallest: the indices that the narrowest member keeps.

        Raises:
            SpaceError: naming the images, the resolution and the reason, if one cannot be.
        """
        for images, sides in options.items():
            for side in sides[1:]:
                self._refuse(self._error(images.resized(self.example, side), {}), images, side)
        example = self.example
        for images, sides in options.items():
            example = images.resized(example, min(sides))
            self._refuse(self._error(example, smallest), images, min(sides))

    def _refuse(self, error: str | None, images: Images, side: int) -> None:
        if error is not None:
            names = " and ".join(repr(image.name) for image in images.images)
            raise SpaceError(
                f"{type(self.wiring.model).__name__} cannot compute with {names} at {side} pixels: {error}; leave this "
                "side out of the Resolution, or make the model independent of the size of its images"
            )

    def _error(self, example: Arguments, kept: Kept) -> str | None:
        try:
            found = self._run(kept, example)
        except Exception as error:
            return f"its code does not allow it ({one_line(error)[:200]})"
        difference = self._difference(found, kept)
        if difference is not None or kept or self._failure_in_training is not None:
            return difference
        failure = self._training(example)
        return None if failure is None else f"it could not be trained ({failure})"

    def _difference(self, found: "_Uses", kept: Kept) -> str | None:
        if found.outputs != self._given.outputs:
            return f"its output would be of shape {_listed(found.outputs)} instead of {_listed(self._given.outputs)}"
        if other := sorted(found.used ^ self._given.used):
            return f"it would compute with other layers ({other[0]})"
        if not kept and found.parts != self._given.parts:
            pairs = zip_longest(found.parts, self._given.parts)
            name = next((here or there)[0] for here, there in pairs if here != there)
            return f"it would read other parts of {name}, which looks like a table of positions"
        if [name for name, _ in found.log] == [name for name, _ in self.trace.log]:
            return self._other_shape(found, kept)
        return None

    def _other_shape(self, found: "_Uses", kept: Kept) -> str | None:
        """Compare the dimensions that are no positions: the examples, and those that weights have."""
        for (name, shapes), (_, results) in zip(found.log, self.trace.log, strict=True):
            for shape, dimensions in zip(shapes, results, strict=True):
                for size, dimension in zip(shape, dimensions, strict=True):
                    is_constant = {atom for atom in atoms(dimension) if atom.size > 1} <= self._constant
                    if is_constant and size != size_of(dimension, kept):
                        wrong = f"{name} would give {tuple(shape)}"
                        return f"weights go with its positions, or examples with each other ({wrong})"
        return None

    def _run(self, kept: Kept, example: Arguments) -> "_Uses":
        member = self._member(kept).eval()
        uses = _Uses(member)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with traceable(member), uses:
                result = example.call(member)
        uses.outputs = [tuple(tensor.shape) for tensor in tensors_in(result)]
        return uses

    def _training(self, example: Arguments) -> str | None:
        """Return the error of a forward pass in training mode; None if it runs."""
        member = self._member({}).train()
        batch = Arguments.of(make_example(example, max(example.n_examples, 2)))  # for statistics of batches
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batch.call(member)
        except Exception as error:
            return one_line(error)[:200]
        return None

    def _member(self, kept: Kept) -> nn.Module:
        return self.wiring.member(kept, (), lambda tensor: self.wiring.sliced(tensor, kept).detach().clone())


class _Uses(Recording):
    """A recording that notes which tensors of a model are used, and the shapes of parts that are read of them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        named = (*model.named_parameters(), *model.named_buffers())
        self._names = {tensor.untyped_storage().data_ptr(): name for name, tensor in named if tensor.numel()}
        self.used: set[str] = set()
        self.parts: list[tuple[str, tuple[int, ...]]] = []
        self.outputs: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        found = [self._name(tensor) for tensor in tensors_in((args, kwargs))]
        self.used.update(name for name in found if name)
        if found and found[0] and func._schema.name.removeprefix("aten::") in LOOKUPS:
            self.parts += [(found[0], tuple(part.shape)) for part in tensors_in(result)]
        return result

    def _name(self, tensor: Tensor) -> str:
        return self._names.get(tensor.untyped_storage().data_ptr(), "")


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))
