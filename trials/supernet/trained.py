"""TrainedSupernet: shared weights in a folder of safetensors and JSON, neither of which can hold code."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, cast

from safetensors.numpy import load_file

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fields_of, resized_to, scaled
from raynas.errors import RaynasError, SpaceError, one_line
from raynas.nn import ModelSpace, Supernet
from raynas.trials.supernet.shared_weights import Arrays, supernet_on

WEIGHTS, ABOUT, DERIVED = "supernet.safetensors", "supernet.json", "derived.json"


class About(TypedDict):
    """Content of ``supernet.json``.

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
    input_shape: list[int]
    n_classes: int | None
    method: str
    partial_channels: int
    sizes: dict[str, int]
    training: dict[str, Any]
    derived: dict[str, Option] | None
    ended_because: str
    history: list[dict[str, Any]]
    digest: str


@dataclass(frozen=True)
class TrainedSupernet:
    """Shared weights after their training.

    Args:
        space: the networks that share them, at the size that was trained.
        path: the folder that holds everything.
        about: content of ``supernet.json``.
    """

    space: ModelSpace
    path: Path
    about: About

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
        except KeyError as error:
            raise RaynasError(f"{path / ABOUT} lacks {error}") from None
        if about.get("fingerprint") != trained.fingerprint:
            raise SpaceError(f"{path} holds the supernet of another space, {about['space']}, not of {trained.name}")
        return cls(space=trained, path=path, about=about)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def derived(self) -> Architecture | None:
        """The architecture that the method has derived; None if it only trains weights, for a search to follow."""
        derived = self.about["derived"]
        return None if derived is None else self.space.canonical(derived)

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
            if digest_of(self.path / WEIGHTS) != self.digest:
                raise ValueError("its content is not what was written")
            return dict(load_file(self.path / WEIGHTS))
        except OSError as error:
            raise RaynasError(f"cannot read {self.path / WEIGHTS}: {error.strerror or error}") from None
        except Exception as error:
            raise RaynasError(f"{self.path / WEIGHTS} is damaged: {one_line(error)}") from error

    def supernet(self) -> Supernet:
        """Return the supernet with a copy of the weights."""
        arrays = {name: array.copy() for name, array in self.weights.items()}
        return supernet_on(self.space, arrays, int(self.about["partial_channels"]))


def read_about(path: Path) -> About:
    """Read ``supernet.json`` in a folder.

    Raises:
        RaynasError: if there is none, or it is damaged.
    """
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise TypeError(f"it holds a {type(about).__name__}")
        return cast(About, {**about, "digest": str(about["digest"]), "space": str(about["space"])})
    except OSError:
        raise RaynasError(f"{path} holds no trained supernet: {ABOUT} cannot be read") from None
    except Exception as error:
        raise RaynasError(f"{path / ABOUT} is damaged: {one_line(error)}") from None


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
