"""DroppedMetrics: says once of each reported value that it is no metric."""

import logging
from collections.abc import Collection

from raynas.core.evaluation import is_metric, reported_in
from raynas.core.outcome import Result
from raynas.trials.scores import MAX_NOTE

logger = logging.getLogger(__name__)


class DroppedMetrics:
    """Warns of values that are no finite numbers, which neither rank architectures nor appear in plots.

    Args:
        besides: names of metrics whose lack is an error elsewhere; trials of raynas report NaN for them where they
            have none.
    """

    def __init__(self, besides: Collection[str]) -> None:
        self._named = set(besides)

    def __call__(self, result: Result) -> None:
        """Look at a flat result."""
        for name, value in reported_in(result).items():
            if name in self._named or is_metric(value) or (isinstance(value, str) and not value):
                continue
            self._named.add(name)
            kept = "it is kept as a note" if isinstance(value, str) else "it is dropped"
            text = repr(value)[: MAX_NOTE // 5]
            logger.warning("%r is no metric, because a trial reported %s for it; %s", name, text, kept)
