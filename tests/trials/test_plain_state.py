"""What a checkpoint can hold."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from raynas.errors import RaynasError
from raynas.trials.plain_state import plain_state


def test_containers_become_plain_and_tensors_are_the_same() -> None:
    tensor = torch.ones(2)
    given = OrderedDict(a=[tensor, (1, "x", None)], b=OrderedDict({3: True}))
    plain = plain_state(given, "state")
    assert plain == {"a": [tensor, (1, "x", None)], "b": {3: True}}
    assert type(plain) is dict and type(plain["b"]) is dict and plain["a"][0] is tensor


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {1, 2}}, r"state\['a'\] is a set"),
        ([0, np.zeros(2)], r"state\[1\] is a ndarray"),
        ({"model": torch.nn.Linear(1, 1)}, r"state\['model'\] is a Linear, .* such as its state_dict\(\)"),
        ({(1, 2): 3}, r"state has the key \(1, 2\)"),
        (print, "state is a builtin_function"),
    ],
)
def test_anything_else_is_named(value: Any, told: str) -> None:
    with pytest.raises(RaynasError, match=told):
        plain_state(value, "state")
