"""What networks give is logits, or is refused by name."""

import pytest
import torch

from raynas.data.logits import as_logits
from raynas.errors import RaynasError


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"logits": 1, "loss": 2}, "gives a dict of logits, loss; Training needs logits: "),
        ((torch.zeros(3, 2), None), "gives a tuple of 2; Training needs logits: "),
        (None, "gives a NoneType; Training needs logits: "),
        (torch.zeros(3), r"must give logits of shape \(3, 3\), got \(3,\)"),
        (torch.zeros(()), r"must give logits of shape \(3, n_classes\), got \(\)"),
        (torch.zeros(3, 4, 2), r"must give logits of shape \(3, 2\), got \(3, 4, 2\)"),
    ],
)
def test_anything_else_is_refused(output: object, message: str) -> None:
    with pytest.raises(RaynasError, match=message):
        as_logits(output, 3)


def test_logits_are_taken_as_they_are() -> None:
    logits = torch.zeros(3, 5)
    assert as_logits(logits, 3) is logits and as_logits(logits, 3, 5) is logits
    with pytest.raises(RaynasError, match=r"must give logits of shape \(3, 4\), got \(3, 5\)"):
        as_logits(logits, 3, 4)
