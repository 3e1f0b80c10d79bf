"""Preprocessing of images, as an exported network records it."""

from raynas.data.images import ImageData
from raynas.data.sources import Source
from raynas.exporting import Preprocessing


def preprocessing_of(source: Source) -> Preprocessing | None:
    """Return the normalisation of a source of images; None for loaders of the user's, which prepare their inputs."""
    if not isinstance(source, ImageData):
        return None
    return Preprocessing(
        data=source.name, mean=source.mean, std=source.std, shape=source.input_shape, n_classes=source.n_classes
    )
