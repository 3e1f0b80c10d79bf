"""The space that a command line names, made for the data: an entry of the table, a space or a model of the user's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from raynas.cli.model_options import ModelFlags
from raynas.cli.model_reading import called, read_inputs, read_model, read_vary
from raynas.cli.options import names_code
from raynas.cli.parser import Parsed
from raynas.cli.tables import SPACES
from raynas.converting import ConvertedSpace, convert
from raynas.core.inputs import make_example
from raynas.core.space import SearchSpace
from raynas.data.sources import Source
from raynas.errors import RaynasError
from raynas.user_code import load_function, load_instance, load_object, split_call


class SpaceMaker(Protocol):
    """Makes the space that a command line names."""

    def __call__(self, source: Source | None = None) -> SearchSpace:
        """Return the space.

        Args:
            source: the data, if there is any; input shape and classes follow from it where they are not given.

        Raises:
            RaynasError: if code of the user's gives no space, or a model cannot be converted.
        """

    @property
    def origin(self) -> Mapping[str, object]:
        """The options that name the space on a command line, beyond its own fields."""


def space_maker(options: Parsed, name: str, given: frozenset[str]) -> SpaceMaker:
    """Return what makes the space that options name.

    Args:
        options: the values of all options.
        name: the chosen space, or the model.
        given: the options that the user gave, by path.
    """
    model = options.make(ModelFlags, "model.")
    if model.name is not None:
        return GivenModel(model)
    if names_code(name):
        return OwnSpace(name)
    return CatalogueSpace(name, options.fields_of("space", name), "space.input_shape" in given)


@dataclass(frozen=True)
class CatalogueSpace:
    """Makes a space of the table.

    Args:
        name: its name.
        fields: its fields.
        is_sized: whether the user gave the shape of the inputs.
    """

    name: str
    fields: Mapping[str, Any]
    is_sized: bool = False

    def __call__(self, source: Source | None = None) -> SearchSpace:
        sizes = {} if source is None or self.is_sized else {"input_shape": source.input_shape}
        return SPACES[self.name](**{**self.fields, **sizes})

    @property
    def origin(self) -> Mapping[str, object]:
        return {}


@dataclass(frozen=True)
class OwnSpace:
    """Makes a space of the user's.

    Args:
        reference: ``module:name`` of the space, or of what makes it.
    """

    reference: str

    def __call__(self, source: Source | None = None) -> SearchSpace:
        reference, _, _ = split_call(self.reference)
        found = load_object(reference)
        if isinstance(found, nn.Module) or (isinstance(found, type) and issubclass(found, nn.Module)):
            raise RaynasError(
                f"{reference!r} is a network: name it by --model, or the space of its choices, such as "
                f"space = raynas.ModelSpace({reference.partition(':')[2]}, input_shape=...)"
            )
        return load_instance(self.reference, SearchSpace, "search space", known_from(source))  # type: ignore[type-abstract]

    @property
    def origin(self) -> Mapping[str, object]:
        return {"space": {"name": self.reference}}


@dataclass(frozen=True)
class GivenModel:
    """Makes the space of the smaller relatives of a model of the user's.

    Args:
        flags: name the model, and what of it may vary.
    """

    flags: ModelFlags

    def __call__(self, source: Source | None = None) -> ConvertedSpace:
        flags = self.flags
        if source is None and not flags.input:
            raise RaynasError(
                "--input is missing: say what the model takes, such as --input 3x224x224 or ids=128:long:30000"
            )
        model = read_model(flags, known_from(source))
        if flags.input:
            example, description = read_inputs(flags.input)
        else:
            assert source is not None
            example, description = make_example(source.inputs, 2), source.inputs
        return convert(
            model,
            example,
            vary=read_vary(flags.vary),
            keep=flags.keep,
            divisor=flags.divisor,
            importance=flags.importance,  # type: ignore[arg-type]  # checked there
            losses=load_function(flags.losses) if flags.losses else None,
            batches=called(flags.batches, "batches") if flags.batches else None,
            inputs=description,
            seed=flags.seed,
        )

    @property
    def origin(self) -> Mapping[str, object]:
        usual = vars(ModelFlags())
        changed = {name: value for name, value in vars(self.flags).items() if value != usual[name]}
        return {"model": {name: list(v) if isinstance(v, tuple) else v for name, v in changed.items()}}


def known_from(source: Source | None) -> Mapping[str, object]:
    """Return the arguments that data has for the functions of a user, which make spaces and models."""
    if source is None:
        return {}
    classes = {} if source.n_classes is None else {"n_classes": source.n_classes, "num_classes": source.n_classes}
    return {"input_shape": source.input_shape, **classes}
