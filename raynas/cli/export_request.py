"""The command line of ``raynas export``, read without the classes that it names."""

from collections.abc import Sequence

from raynas.cli.options import ExportFlags
from raynas.cli.retrain_request import ArchitectureScript, RetrainRequest, read_architecture_script
from raynas.run.file_names import RETRAIN_SETTINGS

EXPORT = ArchitectureScript(
    "raynas export",
    "Write a found network with its weights to files that run without raynas, and check them in a process without it. "
    f"Space and data are those in {RETRAIN_SETTINGS} beside the architecture or in the folder above, if it is there.",
    """\
examples:
  raynas export results/cnn-digits-auto/best/architecture.json
  raynas export my_cell.json --weights my_cell.safetensors --space nasbench201 --data cifar10 --output exported""",
    ExportFlags,
    "export",
)


def read_export(argv: Sequence[str]) -> RetrainRequest:
    """Read the command line of an export; see ``read_architecture_script``."""
    return read_architecture_script(argv, EXPORT)
