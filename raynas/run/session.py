"""Sessions of a search: what an archive says of earlier ones, and the record of a new one."""

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.errors import ArchiveError
from raynas.trials.settings import TrialSettings


def first_budget(archive: Archive, num_samples: int) -> int:
    """Return the number of trials that the search was to have when it began.

    A strategy is made for it: the choices that follow from the number must outlast an extension.
    """
    budget = num_samples
    for record in archive:
        if record["event"] == "proposed":
            return budget
        if record["event"] == "session":
            budget = int(record["num_samples"])
    return num_samples


def start_session(archive: Archive, space: SearchSpace, goal: Goal, settings: TrialSettings, **facts: object) -> None:
    """Record a new session.

    Args:
        archive: of the search.
        space: with its hyperparameters.
        goal: with constraints as the user wrote them.
        settings: the way of scoring.
        facts: may differ from session to session.

    Raises:
        ArchiveError: if the archive holds a search of another space, goal or way of scoring.
    """
    now = {
        "space": f"{space.name} {space.fingerprint}",
        "trainable": settings.description,
        "objectives": [f"{o.mode}:{o.metric}" for o in goal.objectives],
        "constraints": [str(c) for c in goal.constraints],
    }
    # A session that never got to a trial, because of a mistake in the call, binds nobody; nor does its goal, before a
    # trial has ended.
    binding = {"space", "trainable"} if not archive.events("ended") else now.keys()
    for earlier in archive.events("session")[-1:] if archive.events("proposed") else ():
        for what, value in now.items():
            if what in binding and earlier[what] != value:
                raise ArchiveError(
                    f"{archive.path} holds a search with {what} {earlier[what]}, this one has {value}; "
                    "choose another name, or run with the same settings to continue"
                )
    archive.append("session", **now, **facts)
