"""Provenance of an exported network: what its card says beyond what the network itself shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from raynas.core.architecture import Option


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Normalisation of images.

    Args:
        data: name of the data.
        mean: mean of each channel, in the units of the stored images.
        std: standard deviation of each channel, likewise.
        shape: channels, height and width of an image.
        n_classes: number of classes.
    """

    data: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, ...]
    n_classes: int

    @property
    def source(self) -> str:
        """Source code of a function that makes inputs of images."""
        channels, height, width = self.shape
        return (
            f"MEAN, STD = {self.mean}, {self.std}\n\n\n"
            "def preprocess(images: torch.Tensor) -> torch.Tensor:\n"
            f'    """Normalise images of {height}x{width} pixels, as {self.data} stores them.\n\n'
            f"    ``(batch, {height}, {width}, {channels})`` becomes ``(batch, {channels}, {height}, {width})``.\n"
            '    """\n'
            "    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (MEAN, STD))\n"
            "    return (images.permute(0, 3, 1, 2).to(torch.float32) - mean) / std\n"
        )


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of a network.

    Args:
        title: what it is, in one line.
        arch: its architecture; None if it is not a member of a space.
        metrics: its metrics by name.
        measured: how the metrics were measured.
        preprocessing: the way from pixels to its inputs; None if it is not known.
        seed: seed of the search or the training.
        command: what makes the network again.
    """

    title: str = ""
    arch: Mapping[str, Option] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""
    preprocessing: Preprocessing | None = None
    seed: int | None = None
    command: str = ""
