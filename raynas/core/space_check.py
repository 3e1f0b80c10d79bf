"""check_members(): which options of a search space break its networks, and why."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.inputs import Arguments
from raynas.errors import SpaceError, code_of, one_line


class MemberRun:
    """Builds and runs members of a space: on the meta device, or on the CPU once that alone has worked.

    Args:
        build: makes a network.
        examples: gives the inputs to try on a device.
    """

    def __init__(
        self, build: Callable[[Architecture], nn.Module], examples: Callable[[str], Sequence[Arguments]]
    ) -> None:
        self._build, self._examples = build, examples
        self.device = "meta"

    def __call__(self, arch: Architecture) -> None:
        """Build and run a member.

        Raises:
            Exception: whatever the network raises on the CPU; on the meta device if there is no memory to try it.
        """
        try:
            self._run(arch, self.device)
        except Exception as on_meta:
            if self.device != "meta":
                raise
            try:
                self._run(arch, "cpu")
            except Exception as error:
                raise on_meta if "can't allocate" in str(error) else error from None
            self.device = "cpu"  # As this one, the others can be expected to need values.

    def _run(self, arch: Architecture, device: str) -> None:
        with torch.random.fork_rng(devices=[]), torch.device(device), torch.no_grad():
            model = self._build(arch).eval()
            for inputs in self._examples(device):
                inputs.call(model)


def check_members(name: str, archs: Iterable[Architecture], run: Callable[[Architecture], object]) -> None:
    """Try each architecture, say why the first one breaks, and blame the options that only the broken ones have.

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
            f"{name}: {len(broken)} members cannot be built and run: {one_line(cause)}{code_of(cause)}; options that "
            f"only these have: {', '.join(guilty) or 'none (a combination breaks)'}; first: {arch}"
        ) from cause
