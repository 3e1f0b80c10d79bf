"""A conversion from the command line: the table of what varies, and the profile."""

from rich.console import Console

from raynas.cli.answers import ConvertAnswer, ProfiledMembers
from raynas.cli.convert_request import ConvertRequest
from raynas.cli.spaces import GivenModel
from raynas.cli.terminal import say
from raynas.errors import InfeasibleError


def run_convert(request: ConvertRequest, console: Console) -> ConvertAnswer:
    """Convert a model, and print what varies in it and, if asked for, the costs of its members.

    Raises:
        InfeasibleError: if a limit cannot be met.
        RaynasError: if an option cannot be read, or the model cannot be converted.
    """
    flags = request.flags
    space = GivenModel(request.model)()
    say(space.summary(), console)
    answer = ConvertAnswer(
        space=space.name,
        n_members=float(space.size),
        decisions={decision.name: list(decision.options) for decision in space.decisions},
        fixed={each.name: each.reason for each in space.fixed},
    )
    if not flags.profile and not flags.constraints:
        return answer
    profile = space.profile(flags.constraints, device=flags.device, n_threads=flags.n_threads)
    say(f"\n{profile}", console)
    if not profile.can_be_met:
        raise InfeasibleError("no member meets the limits: loosen them, or let more of the model vary")
    answer.profile = ProfiledMembers(
        members={member: {name: float(v) for name, v in values.items()} for member, values in profile.members.items()},
        limits={verdict.limit: verdict.answer for verdict in profile.verdicts},
    )
    return answer
