"""Writing a trained supernet."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from raynas.core.architecture import Architecture
from raynas.data.fit_space import scaled
from raynas.files.replacing import Replacing, write_whole
from raynas.nn import ModelSpace
from raynas.trials.checkpoint import State
from raynas.trials.distillation import Distillation
from raynas.trials.supernet.trained import (
    ABOUT,
    DERIVED,
    WEIGHTS,
    About,
    AboutTask,
    AboutTraining,
    TrainedSupernet,
    digest_of,
)
from raynas.trials.training import Training

if TYPE_CHECKING:
    from raynas.trials.supernet.training import WeightSharing


def _task(settings: "WeightSharing") -> AboutTask:
    """Return what to write of the task of a distillation; nothing of others."""
    if not isinstance(settings, Distillation):
        return {}
    teacher = "given" if settings.teacher is None else "named"
    return {"task": {"outputs": settings.outputs, "class_dim": settings.class_dim, "teacher": teacher}}


def write_supernet(directory: Path, space: ModelSpace, settings: "WeightSharing", state: State) -> TrainedSupernet:
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
        "training": AboutTraining(
            data=settings.data,
            data_dir=settings.data_dir,
            image_size=settings.image_size,
            valid_share=settings.valid_share,
            data_fraction=settings.data_fraction,
            resolution=settings.resolution,
            scale=dict(settings.scale) if isinstance(settings, Training) else {},
            dtype=settings.dtype,
            **_task(settings),
        ),
        "derived": report["derived"],
        "ended_because": report["ended_because"],
        "history": state["history"],
        "digest": digest_of(directory / WEIGHTS),
    }
    if about["derived"] is not None:
        write_whole(directory / DERIVED, Architecture.from_config({"arch": about["derived"]}).to_json() + "\n")
    write_whole(directory / ABOUT, json.dumps(about, indent=1) + "\n")
    return TrainedSupernet(space=trained, path=directory, about=about)
