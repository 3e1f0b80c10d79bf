"""The pictures of a search, drawn again as seldom as keeps them current, so that many trials cost little."""

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

from raynas.errors import one_line
from raynas.views.tensorboard.event_file import image, scalars, text
from raynas.views.tensorboard.figures import as_png
from raynas.views.tensorboard.search_run import SearchRun

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Shown = Union["Figure", str, float, Mapping[int, float], None]
"""A picture, a text in Markdown, a number, or a curve: numbers by the number of trials."""

FIGURE_SECONDS = 10.0
"""Period of drawing; it takes a twentieth of the time at most."""

GROWTH = 1.25
"""Factor by which the number of trials grows from one drawing of a picture to the next, if nothing else changes."""

MAX_CHANGES = 100
"""Number of drawings of a picture because its subject changed; after that, growth alone decides."""


@dataclass
class Exhibit:
    """Pictures, texts or numbers that are made again and again.

    Args:
        name: in warnings.
        clock: returns the step: the number of trials that have ended, or of epochs of a single trial.
        subject: returns what they show, apart from what merely grows; None if there is nothing to show yet.
        show: makes them, by tag.
    """

    name: str
    clock: Callable[[], int]
    subject: Callable[[], Hashable]
    show: Callable[[], Mapping[str, Shown]]
    shown: Hashable = field(default=None, init=False)
    n_shown: int = field(default=0, init=False)
    n_changes: int = field(default=0, init=False)

    def is_due(self, *, last: bool) -> bool:
        """Return whether it is to be made now, or at the end of a session."""
        subject, n = self.subject(), self.clock()
        if subject is None:
            return False
        changed = subject != self.shown and (last or self.n_changes < MAX_CHANGES)
        return changed or n >= self.n_shown * GROWTH > 0 or (last and n > self.n_shown)

    def made(self) -> Mapping[str, Shown]:
        """Return what there is to show now."""
        subject = self.subject()
        self.n_changes += subject != self.shown
        self.shown, self.n_shown = subject, self.clock()
        return self.show()


class Gallery:
    """Shows exhibits in the run of the search.

    Args:
        run: of the search.
        exhibits: what there is to show.
    """

    def __init__(self, run: SearchRun, exhibits: Sequence[Exhibit]) -> None:
        self._run, self._exhibits = run, exhibits
        self._due = time.monotonic() + FIGURE_SECONDS
        self._broken: set[str] = set()
        self.curves: dict[str, None] = {}
        """The tags of the numbers that were shown, in the order in which they came."""

    def update(self) -> None:
        """Make what is due, if it is time."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + FIGURE_SECONDS
            self.make()
            self._due += 20 * (time.monotonic() - now)

    def make(self, *, last: bool = False) -> None:
        """Make what is due, or at the end of a session all that is not as new as the search."""
        for exhibit in self._exhibits:
            if exhibit.is_due(last=last):
                try:
                    for tag, shown in exhibit.made().items():
                        self._add(tag, shown, exhibit.n_shown)
                except Exception as error:  # one that fails, such as the drawing of a user's network, costs no other
                    if exhibit.name not in self._broken:
                        logger.warning("TensorBoard lacks %s: %s", exhibit.name, one_line(error))
                    self._broken.add(exhibit.name)

    def _add(self, tag: str, shown: Shown, n: int) -> None:
        if isinstance(shown, float):
            self.curves[tag] = None
        add_shown(self._run, tag, shown, n)


def add_shown(run: SearchRun, tag: str, shown: Shown, n: int) -> None:
    """Add a picture, a text, a number or a curve to the run of the search, unless it is there.

    Args:
        run: of the search.
        tag: of the value.
        shown: the value; nothing is added for None.
        n: its step.
    """
    if isinstance(shown, Mapping):
        run.add_curve(tag, shown)
    elif isinstance(shown, str):
        run.add([text(tag, shown)], n)
    elif isinstance(shown, float):
        run.add(scalars({tag: shown}), n)
    elif shown is not None:
        png, size = as_png(shown)
        run.add([image(tag, png, *size)], n)
