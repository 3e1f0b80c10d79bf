"""Verification of exported files in a fresh process, in which raynas cannot be imported."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError
from raynas.exporting import standalone
from raynas.nn.modes import evaluating

BATCH_SIZES = (1, 3)
"""Sizes of the batches on which outputs are compared."""

Report = Mapping[str, Mapping[str, float | str]]
"""For each file what was measured, or under "error" what is wrong with it."""


class VerificationError(RaynasError):
    """An exported file does not do what the network does."""


@dataclass(frozen=True)
class Expected:
    """Required behaviour of the files of an export.

    Args:
        directory: the folder of the files.
        files: names of the files.
        network: the network that was exported.
        inputs: an example of its inputs.
        params: number of its parameters.
        macs: its multiply-adds for one example; None if unknown.
    """

    directory: Path
    files: Sequence[str]
    network: nn.Module
    inputs: Arguments
    params: int
    macs: int | None

    def write(self, folder: Path) -> None:
        """Write inputs and outputs for the process that verifies."""
        batches = [with_batch(self.inputs, size) for size in BATCH_SIZES]
        with evaluating(self.network):
            outputs = [list(standalone.leaves(batch.call(self.network))) for batch in batches]
        content = {
            "directory": str(self.directory.resolve()),
            "files": list(self.files),
            "inputs": [(batch.args, dict(batch.kwargs)) for batch in batches],
            "outputs": outputs,
            "one": (batches[0].args, dict(batches[0].kwargs)),
            "params": self.params,
            "macs": self.macs,
        }
        torch.save(content, folder / standalone.EXPECTED)


def with_batch(inputs: Arguments, size: int) -> Arguments:
    """Return inputs with another number of examples: repeated, or the first of them."""
    n = inputs.n_examples
    return inputs.map(lambda t: t[torch.arange(size) % n] if t.ndim and len(t) == n else t)


def verify(exports: Sequence[Expected]) -> list[Report]:
    """Load every file in one fresh process without raynas, and compare it with its network.

    Raises:
        VerificationError: if a file does not load or disagrees, or the process ends early.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(i) for i in range(len(exports))]
        for path, expected in zip(paths, exports, strict=True):
            path.mkdir()
            expected.write(path)
        command = [sys.executable, "-I", "-B", standalone.__file__, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise VerificationError(f"the process that verifies ended with code {done.returncode}: {last}")
    reports: list[Report] = json.loads(done.stdout.strip().splitlines()[-1])
    wrong = [
        f"{expected.directory / name}: {result['error']}"
        for expected, report in zip(exports, reports, strict=True)
        for name, result in report.items()
        if "error" in result
    ]
    if wrong:
        raise VerificationError(f"the export is wrong: {'; '.join(wrong)}")
    return reports
