"""Images among the inputs of a model, which its members may shrink first: elastic resolution."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from raynas.converting.groups import matches
from raynas.core.inputs import Arguments
from raynas.nn.layers import Resize


@dataclass(frozen=True)
class Image:
    """An argument of a model that is a batch of images, of shape (batch, channels, height, width).

    Args:
        name: its name in the signature of ``forward``.
        position: its position; None if it is given by keyword.
        height: in pixels.
        width: in pixels.
    """

    name: str
    position: int | None
    height: int
    width: int

    def of(self, arguments: Arguments) -> Tensor:
        """Return the images."""
        given: Tensor = arguments.kwargs[self.name] if self.position is None else arguments.args[self.position]
        return given

    @property
    def side(self) -> int:
        """The shorter side, in pixels."""
        return min(self.height, self.width)


@dataclass(frozen=True)
class Images:
    """Images that are resized together.

    Args:
        name: of the decision.
        images: the arguments; the side of the first one is the option.
    """

    name: str
    images: tuple[Image, ...]

    @classmethod
    def of(cls, chosen: Sequence[Image], images: Sequence[Image]) -> "Images":
        """Return some of a model's images: "input.resolution" if it takes no others, else with the first one's name."""
        return cls("input.resolution" if len(images) == 1 else f"{chosen[0].name}.resolution", tuple(chosen))

    @property
    def size(self) -> int:
        """Resolution of the example, in pixels."""
        return self.images[0].side

    def resized(self, arguments: Arguments, side: int) -> Arguments:
        """Return the arguments with images of another resolution."""
        args, kwargs = list(arguments.args), dict(arguments.kwargs)
        for image, size in self._sizes(side):
            resize_argument(Resize(size), image.position, image.name, args, kwargs)
        return Arguments(tuple(args), kwargs)

    def resizing(self, model: nn.Module, side: int) -> nn.Module:
        """Return the model behind a resize of its images; the model itself at the resolution of the example."""
        if side != self.size:
            for image, size in self._sizes(side):
                model = ResizedInput(model, size, image.position, image.name)
        return model

    def _sizes(self, side: int) -> Iterator[tuple[Image, tuple[int, int]]]:
        for image in self.images:
            height, width = (max(1, round(given * side / self.size)) for given in (image.height, image.width))
            yield image, (height, width)


class ResizedInput(nn.Module):
    """A network that computes with images of another resolution than it is given.

    Args:
        network: takes the resized images.
        side: height and width that they get, in pixels.
        position: position of the images among the arguments; None if they are given by keyword.
        name: their name, by which they may be given too.
    """

    def __init__(self, network: nn.Module, side: tuple[int, int], position: int | None, name: str) -> None:
        super().__init__()
        self.resize = Resize(side)
        self.network = network
        self.position = position
        self.name = name

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Resize the images and compute the network's outputs, with all its arguments."""
        given = list(args)
        resize_argument(self.resize, self.position, self.name, given, kwargs)
        return self.network(*given, **kwargs)


def resize_argument(
    resize: nn.Module, position: int | None, name: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    """Replace the images among arguments, which are given by position or by keyword, by resized ones."""
    if name in kwargs:
        kwargs[name] = resize(kwargs[name])
    elif position is not None:
        args[position] = resize(args[position])


def images_in(model: nn.Module, example: Arguments) -> list[Image]:
    """Return the arguments that can be images: tensors of real numbers of shape (batch, channels, height, width)."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    positional = [each.name for each in parameters if each.kind is not each.VAR_POSITIONAL]
    n_args = len(example.args)
    names = [*positional, *(f"input{i}" for i in range(len(positional), n_args))]
    given = [(names[i], i, value) for i, value in enumerate(example.args)]
    given += [(name, None, value) for name, value in example.kwargs.items()]  # type: ignore[misc]
    return [Image(name, at, *value.shape[2:]) for name, at, value in given if _is_image(value)]


def _is_image(value: object) -> bool:
    is_real = isinstance(value, Tensor) and value.is_floating_point()
    return is_real and value.ndim == 4 and min(value.shape[2:]) > 1  # type: ignore[attr-defined]


def named(images: Sequence[Image], pattern: str) -> list[Image]:
    """Return the images that a glob names: by their argument, or "input" for the only ones."""
    alone = len(images) == 1 and matches("input.resolution", pattern)
    return [image for image in images if alone or matches(f"{image.name}.resolution", pattern)]
