"""Circumstances of a session: what a reader needs to make it again, and to know its cost."""

import importlib.metadata
import platform
import shlex
import sys
from collections import Counter
from pathlib import Path

from raynas.trials.settings import TrialSettings

PACKAGES = ("raynas", "torch", "ray", "numpy", "optuna", "scikit-learn")
"""Packages whose versions can change the outcome of a search."""


def circumstances(settings: TrialSettings) -> dict[str, object]:
    """Return the resources of a trial, versions, and the command of this process, as fields of a session."""
    return {"resources": _resources(settings), "versions": _versions(), "command": command()}


def _resources(settings: TrialSettings) -> dict[str, float]:
    total = Counter[str]()
    for bundle in settings.bundles:
        total.update(bundle)
    return {device: float(share) for device, share in total.items()}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # a checkout on the path
            continue
    return found


def command() -> str:
    """Return the command line of this process; "" in a notebook or an interactive interpreter, which have none."""
    if hasattr(sys, "ps1") or "ipykernel" in sys.modules or not sys.argv[0]:
        return ""
    if Path(sys.argv[0]).name == "raynas":
        return shlex.join(["raynas", *sys.argv[1:]])
    return shlex.join(["python", *sys.orig_argv[1:]])
