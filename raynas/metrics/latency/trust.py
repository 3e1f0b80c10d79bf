"""Trust: the bounds beyond which a measured latency is doubted; scripts/bench/latency_trust.py measured them."""

from dataclasses import dataclass

from raynas.metrics.latency.sample import Sample

MAX_WAITED = 0.05
"""Largest share of the time that threads may wait for a CPU."""

MAX_SLOWDOWN = 1.3
"""Largest time of the reference network over the shortest on this machine."""

MAX_SPREAD = 0.3
"""Largest interquartile range of the times, as a share of the median."""

MAX_HALVES = 0.1
"""Largest difference between the medians of two interleaved halves, as a share of the median."""


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust a latency.

    Args:
        excess: the value that gives the reason, over its bound; above 1.
        reason: in a sentence.
    """

    excess: float
    reason: str


def doubts_of(sample: Sample, slowdown: float) -> list[Doubt]:
    """Return the reasons to doubt a sample, the most telling first.

    Args:
        sample: the times.
        slowdown: time of the reference network over the shortest on this machine.
    """
    waited, spread, halves = sample.waited or 0.0, sample.spread, sample.halves
    busy = "the machine is busy"
    checks = (
        (waited / MAX_WAITED, f"{busy}: {waited:.0%} of the time was spent waiting for a CPU"),
        (
            slowdown / MAX_SLOWDOWN,
            f"{busy} or throttled: the reference network took {slowdown:.2f} times its best time",
        ),
        (spread / MAX_SPREAD, f"the times spread: half of them lie in a range of {spread:.0%} of the median"),
        (halves / MAX_HALVES, f"two interleaved halves of the runs differ by {halves:.0%}"),
    )
    return [Doubt(excess, reason) for excess, reason in checks if excess > 1]
