"""The command line: the two scripts as functions."""

from raynas.cli.commands import retrain_found, run_tune

__all__ = ["retrain_found", "run_tune"]
