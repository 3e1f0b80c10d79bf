"""Export a random network of every space of the catalogue in all formats, and verify them without raynas.

    python scripts/bench/exports.py [--seed 0] [--spaces darts mlp]

Prints a row for each space: the files, and in a process without raynas parameters, multiply-adds and latencies.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import raynas
from raynas.errors import RaynasError
from raynas.exporting import Provenance
from raynas.search_spaces import SEARCH_SPACES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spaces", nargs="*", default=sorted(SEARCH_SPACES))
    options = parser.parse_args()
    print("| space | params | macs | model.py ms | model.pt2 ms | model.onnx ms | CPU s | missing |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.spaces:
        print(f"| {name} | {row(name, options.seed)} |", flush=True)


def row(name: str, seed: int) -> str:
    """Export a network of images of 32 x 32 pixels."""
    space = SEARCH_SPACES[name](input_shape=(3, 32, 32))  # type: ignore[call-arg]
    arch = space.sample(np.random.default_rng(seed))
    torch.manual_seed(seed)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = raynas.export(space.build(arch), space.example(2), Path(folder), about=Provenance(arch=arch))
        except RaynasError as error:
            return f"{error} | | | | | |"
    report = done.report
    latencies = [f"{report[file]['latency_ms']:.2f}" if file in report else "" for file in report]
    counts = [f"{report['model.py'][count]:,.0f}" for count in ("params", "macs")]
    missing = "; ".join(f"{file}: {reason}" for file, reason in done.missing.items())
    return " | ".join([*counts, *latencies, f"{time.process_time() - start:.1f}", missing])


if __name__ == "__main__":
    main()
