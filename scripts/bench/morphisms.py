"""Morphisms in the spaces of the catalogue: the layers of random members that can be widened, and the CPU time.

Of each space, up to 12 layers of a random network are widened by 8 units each; "difference" is the largest one of the
outputs in eval mode, relative to the largest output. Then children that differ from a parent by some mutations inherit
its weights: "grown" counts layers that were widened, "overlap" those that are wider in the child and could not be. At
last the groups of channels that progressive shrinking sorts are found in a supernet.

    python scripts/bench/morphisms.py --spaces nasbench201 mobilenetv3
"""

import argparse
import time
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.nn import ModelSpace, Supernet, inherit_between, widen
from raynas.nn.batch_statistics import recalibrate
from raynas.nn.morphism.elastic_channels import channel_groups
from raynas.search_spaces import SEARCH_SPACES

SPACES = ("cnn", "nasbench201", "darts", "mobilenetv3", "efficientnet", "resnet", "shufflenet")
HEADER = ("space", "widened", "ms each", "difference", "ms a child", "grown", "overlap", "channel groups", "s")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=SPACES, choices=sorted(SEARCH_SPACES))
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--children", type=int, default=8)
    parser.add_argument("--mutations", type=int, default=4)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(line(HEADER), line(["---"] * len(HEADER)), sep="\n")
    for name in args.spaces:
        space = SEARCH_SPACES[name]()
        cells = [name, *widened(space, args.layers), *inherited(space, args.children, args.mutations), *grouped(space)]
        print(line(cells), flush=True)


def line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def widened(space: SearchSpace, n_layers: int) -> list[str]:
    torch.manual_seed(0)
    net = space.build(space.sample(np.random.default_rng(0))).eval()
    recalibrate(net, [space.example(8)])  # A new network's output is little more than its last bias.
    inputs = space.example(2)
    named = [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    dense = [name for name, module in named if getattr(module, "groups", 1) == 1]
    chosen = [dense[i] for i in sorted({*np.linspace(0, len(dense) - 1, n_layers).astype(int)})]
    seconds, differences = [], []
    for name in chosen:
        n_out = len(net.get_submodule(name).get_parameter("weight")) + 8
        start = time.process_time()
        try:
            wider = widen(net, name, n_out, input_example=inputs, rng=np.random.default_rng(0))
        except RaynasError:
            continue
        finally:
            seconds.append(time.process_time() - start)
        differences.append(difference(net, wider, space.example(3)))
    worst = f"{max(differences):.0e}" if differences else ""
    return [f"{len(differences)} of {len(chosen)}", f"{1000 * np.mean(seconds):.0f}", worst]


def difference(net: nn.Module, wider: nn.Module, inputs: object) -> float:
    with torch.no_grad():
        before, after = (outputs(Arguments.of(inputs).call(module)) for module in (net, wider.eval()))  # type: ignore[arg-type]
    return float((before - after).abs().max() / before.abs().max())


def outputs(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def inherited(space: SearchSpace, n_children: int, n_mutations: int) -> list[str]:
    rng = np.random.default_rng(1)
    seconds, grown, overlap = 0.0, 0, 0
    for seed in range(n_children):
        torch.manual_seed(seed)
        parent = mutated = space.sample(rng)
        for _ in range(n_mutations):
            mutated = space.mutate(mutated, rng)
        weights, child = space.build(parent).state_dict(), space.build(mutated)
        start = time.process_time()
        report = inherit_between(space, parent, weights, mutated, child, seed=seed)
        seconds += time.process_time() - start
        grown += len(report.widened)
        overlap += sum("only the overlap" in note for note in report.notes)
    return [f"{1000 * seconds / n_children:.0f}", str(grown), str(overlap)]


def grouped(space: SearchSpace) -> list[str]:
    if not isinstance(space, ModelSpace):
        return ["", ""]
    supernet = Supernet(space)
    start = time.process_time()
    n_groups = len(channel_groups(supernet))
    return [str(n_groups), f"{time.process_time() - start:.1f}"] if n_groups else ["", ""]


if __name__ == "__main__":
    main()
