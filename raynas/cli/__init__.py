"""The command line: what the scripts do."""

from raynas.cli.commands import retrain_found, run_tune

__all__ = ["retrain_found", "run_tune"]
