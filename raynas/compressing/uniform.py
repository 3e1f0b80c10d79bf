"""The member whose widths are all reduced by one share, the usual width multiplier, as large as limits allow."""

from collections.abc import Callable, Sequence

from raynas.converting import ConvertedSpace
from raynas.converting.profile import member
from raynas.core.architecture import Architecture

N_STEPS = 64
"""Number of ranks that are tried where more than widths must shrink."""


def uniform_member(space: ConvertedSpace, complies: Callable[[Architecture], bool]) -> Architecture | None:
    """Return the largest member that complies and has every width reduced by about the same share.

    Depths, kernels and resolutions stay those of the given model as long as widths alone can meet the limits; otherwise
    they shrink alike, by the rank of their options.

    Args:
        space: the converted space.
        complies: tells if a member meets the limits; if one does, so do smaller ones.

    Returns:
        None if no such member complies.
    """
    widths = {name: sorted(options) for name, options in space.plan.widths.items()}
    shares = sorted({option / options[-1] for options in widths.values() for option in options})
    largest = dict(space.largest)

    def of_share(share: float) -> Architecture:
        nearest = {name: _nearest(options, share * options[-1]) for name, options in widths.items()}
        return space.canonical({**largest, **nearest})

    by_width = [of_share(share) for share in shares]
    by_rank = [space.canonical(member(space.decisions, step / N_STEPS)) for step in range(N_STEPS + 1)]
    found = _last(by_width, complies)
    return _last(by_rank, complies) if found is None else found


def _nearest(options: Sequence[int], value: float) -> int:
    return min(options, key=lambda option: abs(option - value))


def _last(members: Sequence[Architecture], complies: Callable[[Architecture], bool]) -> Architecture | None:
    """Return the last member that complies, where all before it do; None if the first does not."""
    low, high = -1, len(members) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if complies(members[middle]) else (low, middle - 1)
    return members[low] if low >= 0 else None
