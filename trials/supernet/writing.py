"""Writing a trained supernet."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from raynas.core.architecture import Architecture
from raynas.data.fit_space import scaled
from raynas.nn import ModelSpace
from raynas.trials.checkpoint import Replacing, State
from raynas.trials.supernet.trained import ABOUT, DERIVED, WEIGHTS, About, TrainedSupernet, digest_of

if TYPE_CHECKING:
    from raynas.trials.supernet.training import SupernetTraining

DATA_FIELDS = ("data", "data_dir", "image_size", "valid_share", "data_fraction", "resolution", "scale", "dtype")
"""The settings of the training that decide about the images and the size of the networks."""


def write_supernet(directory: Path, space: ModelSpace, settings: "SupernetTraining", state: State) -> TrainedSupernet:
    """Write the files of a finished training; ``supernet.json`` comes last and makes them complete.

    Args:
        directory: the folder to write.
        space: the space at the size that the training began with.
        settings: of the training.
        state: state of the trial after its last epoch.
    """
    report = state["told"]
    trained = scaled(space, report["sizes"])
    assert isinstance(trained, ModelSpace)
    weights = {name: tensor.contiguous().clone() for name, tensor in state["learner"]["supernet"].items()}
    with Replacing(directory / WEIGHTS) as draft:
        save_file(weights, draft)
    about: About = {
        "space": trained.name,
        "fingerprint": trained.fingerprint,
        "input_shape": list(trained.input_shape),
        "n_classes": getattr(trained, "n_classes", None),
        "method": repr(settings.method),
        "partial_channels": report["partial_channels"],
        "sizes": report["sizes"],
        "training": {name: getattr(settings, name) for name in DATA_FIELDS} | {"scale": dict(settings.scale)},
        "derived": report["derived"],
        "ended_because": report["ended_because"],
        "history": state["history"],
        "digest": digest_of(directory / WEIGHTS),
    }
    if about["derived"] is not None:
        with Replacing(directory / DERIVED) as draft:
            draft.write_text(Architecture(about["derived"]).to_json() + "\n", encoding="utf-8")
    with Replacing(directory / ABOUT) as draft:
        draft.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return TrainedSupernet(space=trained, path=directory, about=about)
