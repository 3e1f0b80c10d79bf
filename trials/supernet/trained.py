"""TrainedSupernet: shared weights in a folder of safetensors and JSON, neither of which can hold code."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

import torch
from msgspec import Meta
from msgspec.json import Decoder
from safetensors.numpy import load_file
from typing_extensions import Unpack

from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture, JsonOptions, Option
from raynas.core.networks import ExportOptions
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fields_of, resized_to, scaled
from raynas.data.preprocessing import preprocessing_of
from raynas.errors import ContentError, RaynasError, SpaceError, one_line
from raynas.exporting import Exported, Provenance, export
from raynas.files.content import check_file, decode_json, read_file
from raynas.nn import ModelSpace, Supernet
from raynas.trials.distillation import Distillation
from raynas.trials.supernet.shared_weights import Arrays, supernet_on

WEIGHTS, ABOUT, DERIVED = "supernet.safetensors", "supernet.json", "derived.json"

SCORES = ("accuracy", "agreement", "divergence", "loss")
"""Scores of a subnet that a card of its export lists."""

MAX_ABOUT_BYTES = 16 * 2**20
"""Largest size of ``supernet.json``: thousands of epochs, each with an architecture."""

MAX_WEIGHTS_BYTES = 64 * 2**30
"""Largest size of the weights."""

Size = Annotated[int, Meta(ge=0, le=10_000)]
"""Channels, cells, layers, pixels: beyond this a network is not meant to be built."""


class TaskOfDistillation(TypedDict):
    """Task of a supernet that predicts what a teacher predicts; see ``Distillation``.

    Args:
        outputs: kind of predictions.
        class_dim: dimension of the classes.
        teacher: "given" for the given model of a converted space, "named" for another one.
    """

    outputs: str
    class_dim: int | None
    teacher: str


class AboutTask(TypedDict, total=False):
    """The task, where it is not to tell the classes of the data apart."""

    task: TaskOfDistillation


class AboutTraining(AboutTask):
    """Settings of the training that decide about data, size and scores; see ``Training``."""

    data: str
    data_dir: str
    image_size: Size
    valid_share: float
    data_fraction: float
    resolution: Size | None
    scale: dict[str, Size]
    dtype: str


class About(TypedDict):
    """Content of ``supernet.json``, and its schema.

    Args:
        space: name of the space.
        fingerprint: fingerprint of the space at the size that was trained.
        input_shape: shape of an example.
        n_classes: number of classes; None if the space does not say.
        method: the method, as code.
        partial_channels: see ``Supernet``.
        sizes: fields of the space that the method has changed.
        training: settings of the training that decide about data and size.
        derived: config of the architecture that the method has derived; None if there is none.
        ended_because: reason why the method stopped early; empty if it did not.
        history: see ``TrainedSupernet.history``.
        digest: 16 hexadecimal digits of the weights.
    """

    space: str
    fingerprint: str
    input_shape: Annotated[list[Size], Meta(max_length=8)]
    n_classes: Annotated[int, Meta(ge=1, le=10**6)] | None
    method: str
    partial_channels: Annotated[int, Meta(ge=1, le=10_000)]
    sizes: dict[str, Size]
    training: AboutTraining
    derived: JsonOptions | None
    ended_because: str
    history: list[dict[str, str | float | JsonOptions | None]]
    digest: str


_ABOUT: "Decoder[About]" = Decoder(About)


@dataclass(frozen=True)
class TrainedSupernet:
    """Shared weights after their training.

    Args:
        space: the networks that share them, at the size that was trained.
        path: the folder that holds everything.
        about: content of ``supernet.json``.
        named: "data" and "data_dir" as the caller of ``raynas.train_supernet`` named them: a file is not believed where
            it names code or files.
        distillation: the settings of the distillation as the caller gave them, likewise; None if there was none.
    """

    space: ModelSpace
    path: Path
    about: About
    named: Mapping[str, str] = field(default_factory=dict)
    distillation: Distillation | None = None

    @classmethod
    def load(cls, path: str | Path, space: SearchSpace) -> "TrainedSupernet":
        """Read the folder that ``raynas.train_supernet`` wrote; nothing in it can execute code.

        Args:
            path: the folder.
            space: the space of the supernet; its size follows from the training.

        Raises:
            RaynasError: if the folder holds no supernet, or one of another space.
        """
        path = Path(path).expanduser().resolve()
        about = read_about(path)
        try:
            trained = _sized(space, about)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise SpaceError(f"{path} holds the supernet of another space: {one_line(error)}") from None
        if about["fingerprint"] != trained.fingerprint:
            raise SpaceError(f"{path} holds the supernet of another space, {about['space']}, not of {trained.name}")
        return cls(space=trained, path=path, about=about)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def derived(self) -> Architecture | None:
        """The architecture that the method has derived; None if it only trains weights, for a search to follow."""
        derived = self.about["derived"]
        return None if derived is None else self.space.canonical(Architecture.from_config({"arch": derived}))

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """Values after each epoch: "epoch", "train_loss", "accuracy", "loss", those of the method, and "derived"."""
        return tuple(self.about["history"])

    @property
    def digest(self) -> str:
        """Name of the weights: 16 hexadecimal digits."""
        return self.about["digest"]

    @cached_property
    def weights(self) -> Arrays:
        """The weights and batch statistics.

        Raises:
            RaynasError: if the file is missing or damaged.
        """
        try:
            check_file(self.path / WEIGHTS, MAX_WEIGHTS_BYTES)
            if digest_of(self.path / WEIGHTS) != self.digest:
                raise ContentError("its content is not what was written")
            return dict(load_file(self.path / WEIGHTS))
        except OSError as error:
            raise RaynasError(f"cannot read {self.path / WEIGHTS}: {error.strerror or error}") from None
        except Exception as error:
            raise RaynasError(f"{self.path / WEIGHTS} is damaged: {one_line(error)}") from error

    def export(self, arch: Mapping[str, Option], directory: str | Path, **options: Unpack[ExportOptions]) -> Exported:
        """Write a subnet with inherited weights to files that run without raynas; see ``raynas.export``.

        Its batch norms are recalibrated and it is scored, as ``Subnet`` does.

        Args:
            arch: an architecture of the space.
            directory: the folder; made if missing.
            options: see ``ExportOptions``.

        Raises:
            RaynasError: if the subnet cannot be scored, the folder is not free, or a file disagrees with the subnet.
        """
        from raynas.trials.subnet import Subnet  # which imports this module

        subnet, chosen = Subnet(supernet=self), self.space.canonical(arch)
        model, result = subnet.scored(self.space, chosen)
        source = subnet.source_of_trials()
        about = Provenance(
            arch=chosen,
            metrics={name: result[name] for name in SCORES if name in result},
            measured=f"Weights inherited from a supernet; measured on the validation split of {source.name}.",
            preprocessing=preprocessing_of(source),
            seed=subnet.seed,
        )
        return export(model, self.space.example(2), directory, about=about, **options)

    @property
    def inherited(self) -> ConvertedSpace:
        """The converted space whose members have the trained weights; norms keep statistics over all members.

        Raises:
            SpaceError: if the space was made of no given model.
        """
        if not isinstance(self.space, ConvertedSpace):
            raise SpaceError(f"{self.space.name} was made of no given model: use supernet().extract(arch)")
        start = "net.shared."
        arrays = {name.removeprefix(start): array for name, array in self.weights.items() if name.startswith(start)}
        return self.space.with_weights({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})

    def supernet(self) -> Supernet:
        """Return the supernet with a copy of the weights."""
        arrays = {name: array.copy() for name, array in self.weights.items()}
        return supernet_on(self.space, arrays, self.about["partial_channels"])


def read_about(path: Path) -> About:
    """Read ``supernet.json`` in a folder.

    Raises:
        RaynasError: if there is none, or it is damaged.
    """
    try:
        return cast(About, decode_json(read_file(path / ABOUT, MAX_ABOUT_BYTES), _ABOUT))
    except OSError:
        raise RaynasError(f"{path} holds no trained supernet: {ABOUT} cannot be read") from None
    except ContentError as error:
        raise RaynasError(f"{path / ABOUT} is damaged: {error}; train the supernet again") from None


def _sized(space: SearchSpace, about: About) -> ModelSpace:
    """Return the space at the size that was trained."""
    sizes = {"n_classes": about["n_classes"]} if about["n_classes"] and "n_classes" in fields_of(space) else {}
    sized = resized_to(scaled(space, sizes), about["input_shape"])
    sized = scaled(scaled(sized, about["training"]["scale"]), about["sizes"])
    if not isinstance(sized, ModelSpace):
        raise SpaceError(f"{space.name} is not read off a model with choices, so it has no supernet")
    return sized


def digest_of(path: Path) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]
