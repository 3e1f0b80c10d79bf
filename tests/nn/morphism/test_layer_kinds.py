import pytest
from torch import nn

from raynas.nn.morphism.layer_kinds import is_depthwise


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), True),
        (nn.Conv1d(4, 8, 3, groups=2), True),
        (nn.Conv2d(4, 4, 3), False),
        (nn.Linear(4, 4), False),
    ],
)
def test_convolutions_with_groups(layer: nn.Module, expected: bool) -> None:
    assert is_depthwise(layer) is expected
