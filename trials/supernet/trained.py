"""TrainedSupernet: shared weights in a folder of safetensors and JSON, neither of which can hold code."""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.torch import save_file

from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.data.fit_space import fields_of, resized_to, scaled
from raynas.errors import RaynasError, SpaceError, one_line
from raynas.nn import ModelSpace, Supernet
from raynas.trials.checkpoint import Replacing

if TYPE_CHECKING:
    from raynas.trials.supernet.training import SupernetTraining

WEIGHTS, ABOUT, DERIVED = "supernet.safetensors", "supernet.json", "derived.json"

DATA_FIELDS = ("data", "data_dir", "image_size", "valid_share", "data_fraction", "resolution", "scale", "dtype")
"""The settings of the training that say which images there were, and of what size the networks were."""


@dataclass(frozen=True)
class TrainedSupernet:
    """Shared weights after their training.

    Args:
        space: the networks that share them, at the size that was trained.
        path: the folder that holds everything.
        about: what ``supernet.json`` says.
    """

    space: ModelSpace
    path: Path
    about: Mapping[str, Any]

    @classmethod
    def load(cls, path: str | Path, space: SearchSpace) -> "TrainedSupernet":
        """Read what ``raynas.train_supernet`` left in a folder; nothing that is read can execute code.

        Args:
            path: the folder.
            space: what the supernet is of; its size follows from what was trained.

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
        """The architecture that the method has found; None if it only trains weights, for a search to follow."""
        derived = self.about["derived"]
        return None if derived is None else self.space.canonical(derived)

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """After each epoch: "epoch", "train_loss", "accuracy", "loss", what the method watches, and "derived"."""
        return tuple(self.about["history"])

    @property
    def digest(self) -> str:
        """Names the weights: 16 hexadecimal digits."""
        return str(self.about["digest"])

    @cached_property
    def weights(self) -> dict[str, NDArray[Any]]:
        """The weights and batch statistics as arrays, by their names in the supernet.

        Raises:
            RaynasError: if the file is missing or damaged.
        """
        try:
            if _digest(self.path / WEIGHTS) != self.digest:
                raise ValueError("its content is not what was written")
            return dict(load_file(self.path / WEIGHTS))
        except OSError as error:
            raise RaynasError(f"cannot read {self.path / WEIGHTS}: {error.strerror or error}") from None
        except Exception as error:
            raise RaynasError(f"{self.path / WEIGHTS} is damaged: {one_line(error)}") from error

    def supernet(self) -> Supernet:
        """The supernet, with weights of its own."""
        arrays = {name: array.copy() for name, array in self.weights.items()}
        return supernet_on(self.space, arrays, int(self.about["partial_channels"]))


def read_about(path: Path) -> dict[str, Any]:
    """What ``supernet.json`` in a folder says.

    Raises:
        RaynasError: if there is none, or it is damaged.
    """
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise TypeError(f"it holds a {type(about).__name__}")
        return {**about, "digest": str(about["digest"]), "space": str(about["space"])}
    except OSError:
        raise RaynasError(f"{path} holds no trained supernet: {ABOUT} cannot be read") from None
    except Exception as error:
        raise RaynasError(f"{path / ABOUT} is damaged: {one_line(error)}") from None


def _sized(space: SearchSpace, about: Mapping[str, Any]) -> ModelSpace:
    """The space at the size that was trained."""
    sizes = {"n_classes": about["n_classes"]} if "n_classes" in fields_of(space) else {}
    sized = resized_to(scaled(space, sizes), about["input_shape"])
    sized = scaled(scaled(sized, about["training"]["scale"]), about["sizes"])
    if not isinstance(sized, ModelSpace):
        raise SpaceError(f"{space.name} is not read off a model with choices, so it has no supernet")
    return sized


def write_supernet(
    directory: Path, space: ModelSpace, settings: "SupernetTraining", state: Mapping[str, Any]
) -> TrainedSupernet:
    """Write what a finished training came to; ``supernet.json`` comes last and makes it complete.

    Args:
        directory: where to.
        space: at the size that the training began with.
        settings: of the training.
        state: of the trial, after its last epoch.
    """
    weights = {name: tensor.contiguous().clone() for name, tensor in state["learner"]["supernet"].items()}
    told = state["told"]
    derived, space = told["derived"], _scaled(space, told["sizes"])
    with Replacing(directory / WEIGHTS) as draft:
        save_file(weights, draft)
    about = {
        "space": space.name,
        "fingerprint": space.fingerprint,
        "input_shape": list(space.input_shape),
        "n_classes": getattr(space, "n_classes", None),
        "method": repr(settings.method),
        "partial_channels": told["partial_channels"],
        "sizes": told["sizes"],
        "training": {name: _plain(getattr(settings, name)) for name in DATA_FIELDS},
        "derived": derived,
        "ended_because": told["ended_because"],
        "history": state["history"],
        "digest": _digest(directory / WEIGHTS),
    }
    if derived is not None:
        with Replacing(directory / DERIVED) as draft:
            draft.write_text(Architecture(derived).to_json() + "\n", encoding="utf-8")
    with Replacing(directory / ABOUT) as draft:
        draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return TrainedSupernet(space=space, path=directory, about=about)


def _scaled(space: ModelSpace, sizes: Mapping[str, Any]) -> ModelSpace:
    changed = scaled(space, sizes)
    assert isinstance(changed, ModelSpace)
    return changed


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def supernet_on(space: ModelSpace, arrays: Mapping[str, NDArray[Any]], partial_channels: int = 1) -> Supernet:
    """A supernet whose parameters are the given arrays, uncopied; they need no gradient.

    Arrays from Ray's object store are memory that all processes of a node share. Only parameters lie in them:
    batch statistics, which recalibration writes, are copies.

    Args:
        space: the networks, at the size that the arrays have.
        arrays: by name.
        partial_channels: see ``Supernet``.

    Raises:
        RaynasError: if the arrays are not those of a supernet of the space.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        supernet = Supernet(space, partial_channels=partial_channels)
    buffers = dict(supernet.named_buffers())
    tensors = {name: _tensor(array.copy() if name in buffers else array) for name, array in arrays.items()}
    try:
        supernet.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise RaynasError(f"the weights are not those of a supernet of {space.name}: {one_line(error)}") from None
    if left := [name for name, tensor in supernet.named_buffers() if tensor.is_meta]:
        raise SpaceError(f"buffer {left[0]} of {space.name} is not part of its state: register it as persistent")
    return supernet.requires_grad_(False).eval()


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        # Torch warns that writing to read-only memory would corrupt it; parameters here are never written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))
