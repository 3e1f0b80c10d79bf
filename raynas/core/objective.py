"""Objective: a metric to maximise or minimise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from raynas.core.metric import Metric, Mode
from raynas.errors import SettingError, did_you_mean


@dataclass(frozen=True)
class Objective:
    """A metric to maximise or minimise.

    Args:
        metric: the result key.
        mode: "max" or "min".

    Raises:
        SettingError: if there is no metric, or the mode is neither.
    """

    metric: str
    mode: Mode

    def __post_init__(self) -> None:
        if not self.metric:
            raise SettingError("an objective needs a metric, e.g. 'accuracy' or 'min:my_metric', got none")
        if self.mode not in get_args(Mode):
            raise SettingError(f"the direction of objective {self.metric!r} must be 'max' or 'min', got {self.mode!r}")

    @classmethod
    def parse(cls, text: "str | Objective", metrics: Mapping[str, Metric] | None = None) -> "Objective":
        """Read ``"accuracy"`` or ``"min:my_metric"``.

        Args:
            text: what to read; an objective is returned as it is.
            metrics: the metrics whose direction is known; "accuracy" is known without.

        Raises:
            SettingError: if the direction is missing for a metric that is not among them.
        """
        if isinstance(text, Objective):
            return text
        mode, colon, name = text.partition(":")
        if colon and mode in get_args(Mode):
            return cls(name, mode)  # type: ignore[arg-type]
        known = {ACCURACY.metric: ACCURACY.mode, **{metric.name: metric.mode for metric in (metrics or {}).values()}}
        if text and text not in known:
            wanted = name if name in known or not mode else text
            raise SettingError(
                f"objective {text!r} needs a direction: write 'max:{wanted}' or 'min:{wanted}' "
                f"(known without one: {', '.join(known)}){did_you_mean(wanted, known)}"
            )
        return cls(text, known.get(text, "max"))

    @property
    def sign(self) -> int:
        """The factor that makes larger values better, 1 or -1."""
        return 1 if self.mode == "max" else -1


ACCURACY = Objective("accuracy", "max")
"""The objective of a search that names none."""
