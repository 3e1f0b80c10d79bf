"""Sessions of a search: what an archive says of earlier ones, and the record of a new one."""

from collections.abc import Mapping, Sequence

from raynas.core.archive import Archive, Record
from raynas.errors import ArchiveError
from raynas.run.identity import MAX_NAMED, Identity
from raynas.run.run_settings import RunSettings


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


def start_session(archive: Archive, identity: Identity, run: RunSettings, facts: Mapping[str, object]) -> None:
    """Record a new session, and let trials of earlier ones begin again where that makes sense.

    Failed trials are tried again if what trials compute has changed. If no trial has finished, earlier sessions bind
    nobody: neither their goal nor their space counts, and what was trained in part begins again.

    Args:
        archive: of the search.
        identity: of this session.
        run: says what to do if trials that finished computed something else, and with those that failed.
        facts: may differ from session to session.

    Raises:
        ArchiveError: if the archive holds a search of another space or goal, or one whose trials computed something
            else and ``on_change`` is "refuse".
    """
    now = {**vars(identity), **facts, "num_samples": run.num_samples, "generation_size": run.generation_size}
    now["tolerance"] = run.tolerance
    earlier = archive.events("session")[-1] if archive.events("proposed") else None
    if earlier is None:
        archive.append("session", **now)
        return
    evaluations = archive.evaluations
    n_found = sum(e.ok for e in evaluations)
    changes = identity.changes(earlier)
    if n_found:
        _refuse_another_search(archive, earlier, identity)
    if n_found and changes and run.on_change == "refuse":
        raise ArchiveError(_refusal(archive, n_found, changes))
    if (n_found and changes and run.on_change == "warm_start") or earlier["space"] != identity.space:
        archive.restart(**now)
        return
    if changes or run.retry_failed:
        archive.retry([e.trial for e in evaluations if not e.ok])
    if changes and not n_found:
        begun = {record["trial"] for record in archive.events("result")}
        archive.retry(sorted(archive.unfinished().keys() & begun))
    archive.append("session", **now)


def _refuse_another_search(archive: Archive, earlier: Record, identity: Identity) -> None:
    if identity.has_other_weights(earlier):
        raise ArchiveError(
            f"{archive.path} holds a search that began with other weights of {identity.space.partition(' ')[0]}: "
            "load the same ones (or call torch.manual_seed before an untrained model is made), or choose another name"
        )
    now = vars(identity)
    for what in ("space", "objectives", "constraints"):
        if earlier[what] != now[what]:
            raise ArchiveError(
                f"{archive.path} holds a search with {what} {earlier[what]}, this one has {now[what]}; "
                "choose another name, or run with the same settings to continue"
            )


def _refusal(archive: Archive, n_found: int, changes: Sequence[str]) -> str:
    more = f", and {len(changes) - MAX_NAMED} more changes" if len(changes) > MAX_NAMED else ""
    return (
        f"{archive.path} holds {n_found} evaluation{'s' if n_found > 1 else ''} made otherwise: "
        f"{'; '.join(changes[:MAX_NAMED])}{more}. Choose on_change=continue to keep them and go on, "
        "on_change=warm_start to learn from them and count only new ones, or another name"
    )
