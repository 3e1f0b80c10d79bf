"""Effort: the numbers of members and epochs that a compression spends."""

from dataclasses import dataclass

from raynas.errors import SettingError
from raynas.validate import require_whole


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Numbers of members and epochs of a compression.

    Args:
        n_scored: members within the limits that are scored with their inherited weights.
        n_candidates: those of them that are trained by distillation, as far as early stopping lets them.
        n_random: candidates that are drawn at random instead of by their score, so that the report can say what the
            score told.
        n_compared: random members of any score that get the whole training of a candidate, beside the one of uniform
            width, to compare with; 0 leaves out both.
        n_final: best candidates that are trained again for ``final_epochs``.
        final_epochs: epochs of that training; 0 leaves it out, and the best candidate is the result.

    Raises:
        SettingError: if a number is too small, or there are more candidates than scored members.
    """

    n_scored: int = 200
    n_candidates: int = 12
    n_random: int = 4
    n_compared: int = 2
    n_final: int = 1
    final_epochs: int = 0

    def __post_init__(self) -> None:
        least = {"n_scored": 2, "n_candidates": 1, "n_random": 0, "n_compared": 0, "n_final": 1, "final_epochs": 0}
        for name, low in least.items():
            require_whole(name, getattr(self, name), low)
        if self.n_candidates > self.n_scored:
            raise SettingError(f"n_candidates must be at most n_scored ({self.n_scored}), got {self.n_candidates}")
        if self.n_random > self.n_candidates:
            raise SettingError(f"n_random must be at most n_candidates ({self.n_candidates}), got {self.n_random}")
