"""The watch: what says whether a differentiable search is healthy, measured at the end of each epoch.

A search collapses when it ends in skip connections, which learn fastest (Liang et al., "DARTS+", arXiv:1909.06035), and
when the best mixture is far from every architecture (Zela et al., ICLR 2020, arXiv:1909.09656).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from raynas.errors import SettingError
from raynas.nn.batch_statistics import batch_statistics
from raynas.nn.selection import Selection
from raynas.nn.supernet import Supernet
from raynas.oneshot.base import Batch
from raynas.oneshot.differentiable.stopping import Point


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Measurements after each epoch, and the thresholds of their warnings.

    Args:
        gap_batches: held-out batches that the discretisation gap is measured on; 0 for none.
        eigenvalue_every: epochs between two looks at the dominant eigenvalue; 0 for none.
        eigenvalue_images: held-out images that it is measured on.
        n_iterations: of the power iteration at most, each twice a step of the architecture on so many images.
        warn_skips: warns when more than this share of the derived operations are skip connections.
        warn_ratio: warns when the dominant eigenvalue is so many times that of the first look.
        start: the share of the training, in [0, 1), before which it does not warn: at first all weights are equal.

    Raises:
        SettingError: if a number is out of range.
    """

    gap_batches: int = 4
    eigenvalue_every: int = 5
    eigenvalue_images: int = 64
    n_iterations: int = 10
    warn_skips: float = 0.5
    warn_ratio: float = 3.0
    start: float = 0.2

    def __post_init__(self) -> None:
        if min(self.gap_batches, self.eigenvalue_every) < 0 or min(self.eigenvalue_images, self.n_iterations) < 1:
            raise SettingError(f"numbers of batches, epochs, images and iterations must not be negative, got {self}")
        if not (0 <= self.warn_skips <= 1 and self.warn_ratio > 1 and 0 <= self.start < 1):
            raise SettingError(f"need warn_skips in [0, 1], warn_ratio > 1 and start in [0, 1), got {self}")

    def looks_at_curvature(self, epoch: int) -> bool:
        """Return True if the dominant eigenvalue is measured after an epoch, counted from 0."""
        return self.eigenvalue_every > 0 and epoch % self.eigenvalue_every == 0

    def warning(self, history: Sequence[Point], progress: float) -> str:
        """One line that says what is wrong and what to do; empty if nothing is."""
        if progress < self.start:
            return ""
        last = history[-1]
        share = last.metrics.get("skip_share", 0.0)
        values = [abs(p.metrics["dominant_eigenvalue"]) for p in history if "dominant_eigenvalue" in p.metrics]
        if share > self.warn_skips:
            what = f"{share:.0%} of the derived operations are skip connections"
        elif "dominant_eigenvalue" in last.metrics and values[-1] > self.warn_ratio * values[0] > 0:
            what = f"the dominant eigenvalue rose from {values[0]:.3g} to {values[-1]:.3g}"
        else:
            return ""
        return (
            f"the search collapses: after epoch {last.epoch} {what}; end it here, or take a method against that, "
            "such as robust_darts, darts_minus, smooth_darts, p_darts or dr_nas"
        )


@torch.no_grad()
def accuracies(supernet: Supernet, selections: Mapping[str, Selection], batches: Sequence[Batch]) -> dict[str, float]:
    """Return the accuracy of each selection on the same examples, in [0, 1], with the statistics of each batch."""
    right = dict.fromkeys(selections, 0)
    n = 0
    with batch_statistics(supernet):
        # A rest of one example has no statistics.
        for inputs, labels in [batch for batch in batches if len(batch[1]) > 1] or batches:
            n += len(labels)
            for name, selection in selections.items():
                right[name] += int((supernet(inputs, selection).argmax(1) == labels).sum())
    return {name: count / n for name, count in right.items()}
