"""The outputs of networks that are trained to classify: logits, checked."""

from collections.abc import Mapping

from torch import Tensor

from raynas.errors import RaynasError


def as_logits(output: object, n_examples: int, n_classes: int | None = None) -> Tensor:
    """Return the output of a network if it is logits.

    Args:
        output: of the network.
        n_examples: size of the batch.
        n_classes: number of classes; None if unknown.

    Raises:
        RaynasError: if it is anything but one logit per class and example.
    """
    if not isinstance(output, Tensor):
        raise RaynasError(
            f"the network gives {_kind(output)}; Training needs logits: one tensor of shape (batch, n_classes). Return "
            "them alone from forward, or score with a training function of your own"
        )
    shape = tuple(output.shape)
    wanted = n_classes or (shape[-1] if shape else "n_classes")
    if shape != (n_examples, wanted):
        raise RaynasError(f"the network must give logits of shape ({n_examples}, {wanted}), got {shape}")
    return output


def _kind(output: object) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} of {', '.join(map(str, output))}"
    name = type(output).__name__
    return f"a {name} of {len(output)}" if isinstance(output, tuple | list) else f"a {name}"
