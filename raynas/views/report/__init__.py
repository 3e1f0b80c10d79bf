"""The report of a search: the result, its comparison with random search, and the paths of all files.

``summarise`` collects the facts, ``render`` shows them in 80 columns, ``write`` leaves them as text, JSON, plots
and pages: ``report.html``, interactive and self-contained, and ``report.md``.
What one run cannot show is said: a single seed proves no difference, and a validation accuracy that was maximised is
optimistic.
"""

from raynas.views.report.facts import Comparison, Summary, best_or_reason, broken_at_end, summarise
from raynas.views.report.files import HTML, MARKDOWN, write, write_pages
from raynas.views.report.plot_names import plot_name
from raynas.views.report.text import render

__all__ = [
    "HTML",
    "MARKDOWN",
    "Comparison",
    "Summary",
    "best_or_reason",
    "broken_at_end",
    "plot_name",
    "render",
    "summarise",
    "write",
    "write_pages",
]
