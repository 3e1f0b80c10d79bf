"""The section of a report that says how to make the search again."""

from collections.abc import Iterator, Mapping
from typing import Any

from raynas.views.report.blocks import Block, Code, Facts, Text
from raynas.views.report.findings import Findings

SHOWN = ("space", "trainable", "strategy", "seed", "num_samples", "generation_size")


def settings_blocks(findings: Findings) -> Iterator[Block]:
    """Yield settings, versions, seeds and the command of the last session, the options file, and all paths."""
    sessions = findings.sessions
    if sessions:
        last = sessions[-1]
        yield Facts(rows=tuple(_settings(last)))
        for name in ("versions", "code", "data"):
            if held := last.get(name):
                yield Text(text=f"{name.capitalize()}:", strong=True)
                yield Facts(rows=tuple((str(part), str(value)) for part, value in held.items()))
        if command := last.get("command"):
            yield Code(title="To make it again, in the same folder with the same code and data", text=str(command))
        if len(sessions) > 1:
            seeds = ", ".join(str(session["seed"]) for session in sessions)
            yield Text(text=f"The search ran in {len(sessions)} sessions, with seeds {seeds}.")
    if findings.options:
        yield Code(title="All options", text=findings.options, folded=True)
    if files := findings.summary.files:
        yield Text(text="Files:", strong=True)
        yield Facts(rows=tuple(files.items()))
    for purpose, command in findings.summary.commands.items():
        yield Code(title=purpose.capitalize(), text=command)


def _settings(session: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in SHOWN:
        if session.get(name) is not None:
            yield name, str(session[name])
    for name in ("objectives", "constraints"):
        if held := session.get(name):
            yield name, ", ".join(map(str, held))
    if baseline := session.get("baseline_is"):
        yield "baseline", str(baseline)
    if resources := session.get("resources"):
        yield "resources of a trial", ", ".join(f"{share:g} {device}" for device, share in resources.items())
