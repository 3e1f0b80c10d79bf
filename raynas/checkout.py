"""The two parts of raynas that a checkout has next to the package, at the root of the repository."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PARTS = ("raynas.search_spaces", "raynas.trials")


class PartsFinder(MetaPathFinder):
    """Finds the parts inside the package, as a wheel has them, or else next to it.

    The root is not appended to ``raynas.__path__``: ``raynas.tests``, ``raynas.results`` and a second ``raynas.raynas``
    would be importable too.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a part; none for any other module, those within a part included."""
        return PathFinder.find_spec(fullname, [*(path or ()), str(ROOT)]) if fullname in PARTS else None


def find_parts() -> None:
    """Make the parts of this checkout importable, even if another checkout is installed."""
    sys.meta_path.insert(0, PartsFinder())
