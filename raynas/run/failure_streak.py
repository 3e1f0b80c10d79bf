"""FailureStreak: notices that every trial fails for one reason, which no other architecture will change."""

import re

from raynas.core.evaluation import Evaluation


class FailureStreak:
    """Counts the failures in a row that have one reason; numbers in it, such as shapes, may differ.

    Args:
        limit: number of failures in a row after which a search should stop; 0 or None for never.
        setting: the end of the verdict, about the setting that the limit comes from.
        ends_running: whether trials that still run then are to end with the search.
    """

    def __init__(
        self, limit: int | None, setting: str = "max_failures_in_a_row sets the number", *, ends_running: bool = False
    ) -> None:
        self._limit = limit or 0
        self._setting = setting
        self._ends_running = ends_running
        self._reason = ""
        self._n = 0
        self.verdict = ""
        """The reason to stop the search, in a line; "" until there is one."""

    @property
    def ends_what_runs(self) -> bool:
        """True if the search is to end now, with the trials that run."""
        return self._ends_running and bool(self.verdict)

    def add(self, evaluation: Evaluation) -> None:
        """Count the end of a trial."""
        reason = "" if evaluation.ok else re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?(e[+-]?\d+)?", "#", evaluation.error)
        self._n = self._n + 1 if reason == self._reason else 1
        self._reason = reason
        if reason and self._n == self._limit:
            failed = f"{self._n} trials in a row failed for one reason" if self._n > 1 else "a trial failed"
            self.verdict = (
                f"{failed}: {evaluation.error}. Repair it and run the same command again, which tries "
                f"{'them' if self._n > 1 else 'it'} again; {self._setting}"
            )
