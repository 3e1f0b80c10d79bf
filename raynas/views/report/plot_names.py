"""Names of the plots beside a report."""

import re

_NOT_IN_FILE_NAMES = r"[^\w.@-]"


def plot_name(cost: str) -> str:
    """Return the name of the file with a front's plot."""
    return f"pareto_{re.sub(_NOT_IN_FILE_NAMES, '_', cost)}.png"
