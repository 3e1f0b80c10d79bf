"""check_members(): which options of a search space break its networks."""

from collections.abc import Callable, Iterable

from raynas.core.architecture import Architecture, Option
from raynas.errors import SpaceError


def check_members(name: str, archs: Iterable[Architecture], run: Callable[[Architecture], object]) -> None:
    """Try each architecture, and blame the options that only the broken ones have.

    Args:
        name: of the space.
        archs: its members that are tried.
        run: builds and runs one; an exception means that it is broken.

    Raises:
        SpaceError: if one is broken.
    """
    broken: dict[Architecture, Exception] = {}
    fine: set[tuple[str, Option]] = set()
    for arch in archs:
        try:
            run(arch)
            fine |= set(arch.items())
        except Exception as error:
            broken[arch] = error
    if broken:
        arch, cause = next(iter(broken.items()))
        guilty = sorted({f"{n}={o!r}" for a in broken for n, o in a.items() if (n, o) not in fine})
        raise SpaceError(
            f"{name}: {len(broken)} members cannot be built and run; options that only these have: "
            f"{', '.join(guilty) or 'none (a combination breaks)'}; first: {arch}: {cause}"
        ) from cause
