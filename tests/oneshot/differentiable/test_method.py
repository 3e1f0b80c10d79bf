"""Settings that are refused."""

from typing import Any

import pytest

from raynas.oneshot.differentiable import (
    Darts,
    Snas,
)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"partial_channels": 0}, "partial_channels"),
        ({"stages": ()}, "stage"),
        ({"warmup": 1.0}, "warmup"),
        ({"arch_lr": 0.0}, "rates"),
        ({"arch_betas": (0.5, 1.0)}, "arch_betas"),
        ({"max_skips": -1}, "max_skips"),
    ],
)
def test_refuses_impossible_settings(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Darts(**settings)


def test_second_order_needs_held_out_batches() -> None:
    with pytest.raises(ValueError, match="held-out"):
        Snas(second_order=True)
