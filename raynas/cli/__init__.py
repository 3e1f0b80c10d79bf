"""The command line: the sub-commands as functions."""

from raynas.cli.commands import convert_model, export_found, report_found, retrain_found, run_tune

__all__ = ["convert_model", "export_found", "report_found", "retrain_found", "run_tune"]
