"""Ranges of the numbers in the settings of a training."""

import math
from typing import TYPE_CHECKING

from raynas.validate import is_number, require

if TYPE_CHECKING:
    from raynas.trials.gradient_training import GradientTraining

_RANGES = (
    ("momentum", 0, 1),
    ("weight_decay", 0, math.inf),
    ("label_smoothing", 0, 1),
    ("warmup_epochs", 0, math.inf),
    ("drop_path", 0, 1),
    ("auxiliary_weight", 0, math.inf),
)
_POSITIVE = (("valid_share", 0.9), ("lr", math.inf), ("data_fraction", 1), ("clip_norm", math.inf))


def check_numbers(settings: "GradientTraining") -> None:
    """Check the numbers of a training that need not be whole.

    Raises:
        SettingError: if one is out of range.
    """
    for name, low, high in _RANGES:
        value = getattr(settings, name, 0)  # some are those of classification alone
        require(is_number(value) and low <= value < high, f"{name} must be a number in [{low}, {high})", value)
    for name, high in _POSITIVE:
        value = getattr(settings, name)
        if not (value is None and name in ("clip_norm", "lr")):
            most = "" if high == math.inf else f" and at most {high}"
            require(is_number(value) and 0 < value <= high, f"{name} must be a number above 0{most}", value)
    above = settings.stream_above_gb
    require(above is None or (is_number(above) and above >= 0), "stream_above_gb must be a number from 0", above)
    share = settings.final_lr_share
    require(is_number(share) and 0 <= share <= 1, "final_lr_share must be a number from 0 to 1", share)
    rule = f"warmup_epochs must be below epochs ({settings.epochs})"
    require(settings.warmup_epochs < settings.epochs, rule, settings.warmup_epochs)
