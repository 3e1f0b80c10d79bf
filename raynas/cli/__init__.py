"""The command line: the scripts as functions."""

from raynas.cli.commands import export_found, retrain_found, run_tune

__all__ = ["export_found", "retrain_found", "run_tune"]
