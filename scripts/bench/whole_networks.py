"""Whole networks timed on several back ends in turns, from files that are made before.

Lowering a network for ExecuTorch takes seconds to a minute of CPU time, its timing a second that needs a quiet machine.
So the files are made first, in the background, and timed in another run. Either step continues where it was stopped.
The networks are those that latency_tables.py leaves out of the tables of a space, and their times are written to tables
of the same form: given its folder, they are compared with the times that are there already.

    nice python -m scripts.bench.whole_networks make --space nasbench201 --folder networks
    python -m scripts.bench.whole_networks time --space nasbench201 --folder networks
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from raynas.core.architecture import Architecture
from raynas.core.inputs import Arguments
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.files.replacing import Replacing
from raynas.metrics.latency import LatencyMeasure, Timing, backend_named, deploy, time_deployment
from raynas.metrics.latency.deployment import SUFFIXES, Deployment
from raynas.metrics.latency_table import LatencyTable, TimedNetwork, save_table
from raynas.metrics.latency_table.profile import about, begun, whole_networks
from raynas.metrics.zero_cost.by_name import fresh_network
from raynas.search_spaces import SEARCH_SPACES
from scripts.bench.latency_tables import pair_rows

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Networks:
    """Networks of a space on a back end: their files, and the table of their times.

    Args:
        name: of the space.
        space: the space.
        backend: name of the back end.
        folder: of the table, and of the folder of the files.
        n_threads: CPU threads.
    """

    name: str
    space: SearchSpace
    backend: str
    folder: Path
    n_threads: int

    @property
    def table_file(self) -> Path:
        """The file of the table; latency_tables.py continues it."""
        return self.folder / f"{self.name}-{self.backend}.json"

    def file(self, arch: Architecture) -> Path | None:
        """Return the file of a network; None if the back end takes modules."""
        form = backend_named(self.backend).form
        folder = self.folder / f"{self.name}-{self.space.fingerprint}"
        return folder / f"{arch.key}{SUFFIXES[form]}" if form in SUFFIXES else None

    def make(self, arch: Architecture) -> None:
        """Write the file of a network, unless it is there.

        Raises:
            RaynasError: if the network cannot be exported.
        """
        path = self.file(arch)
        if path is None or path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        content = self._deployed(arch).file
        with Replacing(path) as draft:
            draft.write_bytes(content)

    def time(self, arch: Architecture) -> None:
        """Add the time of a network to the table, unless it is there or the network has no file."""
        path, table = self.file(arch), self.table
        if (path is not None and not path.exists()) or arch in {network.arch for network in table.left_out}:
            return
        timing = self._timing(self._deployed(arch) if path is None else self._stored(path))
        timed = TimedNetwork(arch=arch, ms=timing.ms, doubt=timing.doubt)
        save_table(replace(table, facts=about(timing), left_out=[*table.left_out, timed]), self.table_file)

    @property
    def table(self) -> LatencyTable:
        """The table as it is in the file."""
        measure = LatencyMeasure(backend=self.backend)
        return begun(self.table_file, self.space, measure, n_threads=self.n_threads, device=CPU)

    @property
    def _inputs(self) -> Arguments:
        return Arguments.of(self.space.example(1, "cpu"))

    def _deployed(self, arch: Architecture) -> Deployment:
        network = fresh_network(self.space, arch, 0).eval()
        return deploy(network, self._inputs, backend_named(self.backend).form, device=CPU)

    def _stored(self, path: Path) -> Deployment:
        return Deployment(backend_named(self.backend).form, path.read_bytes(), self._inputs)

    def _timing(self, deployment: Deployment) -> Timing:
        return time_deployment(deployment, LatencyMeasure(backend=self.backend).settings(self.n_threads, CPU))


def make(archs: Sequence[Architecture], of: Sequence[Networks]) -> None:
    """Write the files of networks for each back end."""
    for number, arch in enumerate(archs, 1):
        for networks in of:
            try:
                networks.make(arch)
            except RaynasError as error:
                print(f"{networks.backend}, {dict(arch)}: {error}")
        print(f"files of {number} of {len(archs)}", flush=True)


def time(archs: Sequence[Architecture], of: Sequence[Networks]) -> None:
    """Time networks on each back end in turns, and print how the back ends differ."""
    for number, arch in enumerate(archs, 1):
        for networks in of:
            networks.time(arch)
        print(f"times of {number} of {len(archs)}", flush=True)
    tables = {networks.backend: networks.table for networks in of}
    print("| back end | networks | in doubt |\n| --- | --- | --- |")
    for backend, table in tables.items():
        print(f"| {backend} | {len(table.left_out)} | {sum(bool(n.doubt) for n in table.left_out)} |")
    print("\n" + "\n".join(pair_rows({name: table for name, table in tables.items() if table.left_out})))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("make", "time"))
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--input_shape", type=int, nargs="*", default=None, help="default: that of the space")
    parser.add_argument("--backends", nargs="+", default=["eager", "onnxruntime", "executorch"])
    parser.add_argument("--folder", type=Path, required=True, help="of the tables and the files")
    parser.add_argument("--corrected", type=int, default=40, help="that of latency_tables.py")
    parser.add_argument("--left_out", type=int, default=100, help="number of networks, that of latency_tables.py")
    parser.add_argument("--n_threads", type=int, default=1)
    args = parser.parse_args(argv)
    sizes = {} if args.input_shape is None else {"input_shape": tuple(args.input_shape)}
    space = SEARCH_SPACES[args.space](**sizes).architecture_space
    args.folder.mkdir(parents=True, exist_ok=True)
    _, archs = whole_networks(space, args.corrected, args.left_out)
    of = [Networks(args.space, space, backend, args.folder, args.n_threads) for backend in args.backends]
    (make if args.step == "make" else time)(archs, of)


if __name__ == "__main__":
    main()
