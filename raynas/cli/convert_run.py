"""A conversion from the command line: the table of what varies, and the profile."""

from rich.console import Console

from raynas.cli.convert_request import ConvertRequest
from raynas.cli.spaces import GivenModel
from raynas.cli.terminal import say
from raynas.errors import InfeasibleError


def run_convert(request: ConvertRequest, console: Console) -> None:
    """Convert a model, and print what varies in it and, if asked for, the costs of its members.

    Raises:
        InfeasibleError: if a limit cannot be met.
        RaynasError: if an option cannot be read, or the model cannot be converted.
    """
    flags = request.flags
    space = GivenModel(request.model)()
    say(space.summary(), console)
    if not flags.profile and not flags.constraints:
        return
    profile = space.profile(flags.constraints, device=flags.device, n_threads=flags.n_threads)
    say(f"\n{profile}", console)
    if not profile.can_be_met:
        raise InfeasibleError("no member meets the limits: loosen them, or let more of the model vary")
