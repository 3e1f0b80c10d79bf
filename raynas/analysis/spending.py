"""Spending: the computing time of a search, in hours of devices."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from raynas.analysis.history import SECONDS
from raynas.core.archive import Archive


@dataclass(frozen=True, kw_only=True)
class Spending:
    """The computing time that the trials of a search took.

    Args:
        seconds: all trials together, those that failed or were stopped included.
        device_hours: hours by device ("cpu", "gpu"): time of each trial times the share of the device that it held.
        n_timed: trials whose time is known.
        n_trials: trials that began.
    """

    seconds: float = 0.0
    device_hours: Mapping[str, float] = field(default_factory=dict)
    n_timed: int = 0
    n_trials: int = 0


def spending(archive: Archive) -> Spending:
    """Sum up the computing time of trials; the driver, and training outside of trials, are not in it.

    Args:
        archive: its sessions say which devices a trial held.
    """
    held: Mapping[str, float] = {}
    seconds: dict[str, float] = {}
    devices: dict[str, Mapping[str, float]] = {}
    for record in archive:
        if record["event"] == "session":
            held = record.get("resources", {})
        elif record["event"] in ("result", "ended") and SECONDS in record["metrics"]:
            seconds[record["trial"]] = float(record["metrics"][SECONDS])
            devices[record["trial"]] = held
    hours: dict[str, float] = {}
    for trial, spent in seconds.items():
        for device, share in devices[trial].items():
            hours[device] = hours.get(device, 0.0) + share * spent / 3600
    n_trials = len(archive.events("proposed"))
    return Spending(seconds=sum(seconds.values()), device_hours=hours, n_timed=len(seconds), n_trials=n_trials)
