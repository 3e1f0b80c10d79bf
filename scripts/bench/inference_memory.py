"""Memory of inference as raynas counts it, beside that of runs: what tensors hold, and what the allocator gives.

Members of published spaces, untrained, run once on a CPU, one example, one thread. "Graph" is the peak of the memory
that tensors hold while the exported graph runs and each is given up after its last use; "Python" the same while
Python runs the network, whose variables hold tensors for longer; "allocator" that of all that PyTorch asks for then,
with the workspace of kernels. Weights are not included.

    python scripts/bench/inference_memory.py --members 40 --spaces nasbench201 mobilenetv3
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from raynas.core.inputs import Arguments, leaves
from raynas.metrics import MetaModels
from raynas.search_spaces import SEARCH_SPACES


class Held(TorchDispatchMode):
    """Follows what tensors hold.

    Args:
        given: tensors that are there before.
    """

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0
        self._add(given)

    def _add(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            storage = StorageWeakRef(tensor.untyped_storage())
            self.storages[storage.cdata] = storage, tensor.untyped_storage().nbytes()
        self.storages = {key: held for key, held in self.storages.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(n_bytes for _, n_bytes in self.storages.values()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {leaf.untyped_storage()._cdata for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
        self._add([tensor for tensor in tensors if tensor.untyped_storage()._cdata not in known])
        return result


def held_by_graph(model: nn.Module, inputs: Arguments) -> int:
    """Return the peak of what tensors hold in a run of the exported graph, in bytes."""
    with torch.no_grad():
        module = torch.export.export(model, inputs.args).module()
        (start,) = module.graph.find_nodes(op="placeholder")
        values = {start: inputs.tensors[0].clone()}  # given up after its last use, as everything else
        with Held(list(values.values())) as held:
            torch.fx.Interpreter(module).run(initial_env=values)
    return int(held.peak)


def held_by_python(model: nn.Module, inputs: Arguments) -> int:
    """Return the peak of what tensors hold in a run, in bytes."""
    with torch.no_grad(), Held(inputs.tensors) as held:
        inputs.call(model)
    return int(held.peak)


def given_by_allocator(model: nn.Module, inputs: Arguments) -> int:
    """Return the peak of what the allocator gives in a run, and the inputs, in bytes."""
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        inputs.call(model)
    with tempfile.TemporaryDirectory() as folder:
        profile.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(f"{folder}/trace.json").read_text())["traceEvents"]
    changes = [event["args"] for event in events if event.get("name") == "[memory]"]
    before = changes[0]["Total Allocated"] - changes[0]["Bytes"]
    peak: int = max(change["Total Allocated"] for change in changes) - before + sum(t.nbytes for t in inputs.tensors)
    return peak


def row(name: str, n_members: int) -> str:
    """Compare members of a space; return a row of the table."""
    space = SEARCH_SPACES[name]()
    models, rng = MetaModels(space), np.random.default_rng(0)
    found, seconds = [], []
    for arch in dict.fromkeys(space.sample(rng) for _ in range(n_members)):
        models(arch)  # built once for all costs
        start = time.process_time()
        counted = models.inference_memory(arch)
        seconds.append(time.process_time() - start)
        model, inputs = space.build(arch).eval(), space.example(1, torch.device("cpu"))
        found.append((counted, *(run(model, inputs) for run in (held_by_graph, held_by_python, given_by_allocator))))
    counted, *runs = np.array(found, dtype=float).T
    cells = [f"{len(found)}", f"{counted.min() / 1e6:.3g} to {counted.max() / 1e6:.3g}"]
    for run in runs:
        ratios = counted / run
        rank = spearmanr(counted, run).statistic
        cells.append(f"{np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f}), {rank:.3f}")
    return " | ".join([f"| {name}", *cells, f"{1000 * float(np.median(seconds)):.0f} |"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--spaces", nargs="+", default=["nasbench201", "mobilenetv3"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| space | members | MB | over graph, Spearman | over Python, Spearman | over allocator, Spearman | ms |")
    print("|---|---|---|---|---|---|---|")
    for name in given.spaces:
        print(row(name, given.members), flush=True)


if __name__ == "__main__":
    main()
