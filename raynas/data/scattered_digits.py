"""scattered_digits: scikit-learn's digits on a larger canvas, between fragments of others, in noise.

The digits of 8 by 8 pixels are so easy that nearly every network gets nearly all of them right. Here a digit lies
anywhere on 12 by 12 pixels, over ``N_FRAGMENTS`` pieces of 4 by 4 pixels of other digits, as in the cluttered
translated MNIST of Mnih et al. ("Recurrent Models of Visual Attention", NeurIPS 2014, arXiv:1406.6247).
A network must find it
before it can read it, so depth, strides and kernels matter. Each image of the training split holds another digit.
Each digit of the test split is on ``N_TEST_CANVASES`` images; the training split has neither it nor its fragments.
"""

import numpy as np
from numpy.typing import NDArray

from raynas.data.image_readers import Arrays, read_digits
from raynas.data.splitting import stratified_split

SIDE = 12
"""Height and width of an image, in pixels."""

N_FRAGMENTS = 4
FRAGMENT = 4
"""Height and width of a fragment, in pixels."""

NOISE = 20.0
"""Standard deviation of the noise of each pixel, of 255."""

TEST_SHARE = 0.2
N_TEST_CANVASES = 4
SEED = 0

Pixels = NDArray[np.float64]


def read_scattered_digits() -> Arrays:
    """Return the images, made of those that are part of scikit-learn; always the same."""
    digits, labels = read_digits()["train"]
    pixels = digits * (255 / 16)
    rng = np.random.default_rng(SEED)
    train, test = stratified_split(labels, TEST_SHARE)
    often = np.repeat(test, N_TEST_CANVASES)
    return {
        "train": (_scattered(pixels[train], pixels[train], rng), labels[train]),
        "test": (_scattered(pixels[often], pixels[test], rng), labels[often]),
    }


def _scattered(digits: Pixels, sources: Pixels, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Put each digit on a canvas, ``(n, 12, 12)``, among fragments of ``sources``."""
    canvases = np.stack([_canvas(digit, sources, rng) for digit in digits])
    noisy = canvases + rng.normal(0, NOISE, canvases.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def _canvas(digit: Pixels, sources: Pixels, rng: np.random.Generator) -> Pixels:
    canvas = np.zeros((SIDE, SIDE))
    size = len(digit)
    for source in sources[rng.integers(len(sources), size=N_FRAGMENTS)]:
        row, column = rng.integers(size - FRAGMENT + 1, size=2)
        _place(canvas, source[row : row + FRAGMENT, column : column + FRAGMENT], rng)
    _place(canvas, digit, rng)
    return canvas


def _place(canvas: Pixels, piece: Pixels, rng: np.random.Generator) -> None:
    """Draw a piece anywhere; its strokes cover what is below, its background does not."""
    row, column = rng.integers(SIDE - len(piece) + 1, size=2)
    below = canvas[row : row + len(piece), column : column + len(piece)]
    below[:] = np.where(piece > 0, piece, below)
