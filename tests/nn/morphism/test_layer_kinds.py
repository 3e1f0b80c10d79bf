import pytest
import torch
from torch import nn

from raynas.nn.morphism.layer_kinds import INPUT_SLOTS, NORM_SLOTS, OUTPUT_SLOTS, Slots, consumer_slots, reorder


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(4, 2, 3), INPUT_SLOTS),
        (nn.Linear(4, 2), INPUT_SLOTS),
        (nn.Conv2d(4, 4, 3, groups=4), OUTPUT_SLOTS),
        (nn.BatchNorm1d(4), NORM_SLOTS),
        (nn.Embedding(4, 2), None),
    ],
)
def test_slots_of_the_input_channels(layer: nn.Module, expected: Slots | None) -> None:
    assert consumer_slots(layer) == expected


def test_reorders_the_first_channels_and_leaves_the_others() -> None:
    layer = nn.Linear(4, 3, bias=False)
    before = layer.weight.detach().clone()
    reorder(layer, (*INPUT_SLOTS, ("bias", 0)), torch.tensor([2, 0, 1]))
    assert torch.equal(layer.weight, before[:, [2, 0, 1, 3]])
