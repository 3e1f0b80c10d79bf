"""CPU milliseconds of the parameters and multiply-adds of an architecture: composed or added against counted.

For each space of the catalogue that is a model with choices, draws architectures, finds the costs of each as a search
does, and counts those of all of them on networks that are built. The two must be equal. Printed are the milliseconds of
an architecture counted, within the first hundred of a search (the check against counts included), and afterwards.

    python scripts/bench/count_costs.py --spaces darts mobilenetv3 --archs 300
"""

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np

from raynas.core.architecture import Architecture
from raynas.metrics.cost import MetaModels
from raynas.nn import ModelSpace
from raynas.search_spaces import SEARCH_SPACES

N_FIRST = 100
Costs = list[tuple[int, int]]


def as_in_a_search(models: MetaModels, archs: Sequence[Architecture]) -> tuple[Costs, float]:
    """Return the costs of architectures, and the CPU milliseconds of one."""
    began = time.process_time()
    costs = [(models.params(arch), models.macs(arch)) for arch in archs]
    return costs, 1e3 * (time.process_time() - began) / len(archs)


class Counting(MetaModels):
    """Builds and counts each network; operations are remembered all the same."""

    def _compare(self, name: str) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [name for name, space in SEARCH_SPACES.items() if issubclass(space, ModelSpace)]
    parser.add_argument("--spaces", nargs="+", choices=names, default=names, help="names of spaces (default: all)")
    parser.add_argument("--archs", type=int, default=300, help="architectures in all (default: 300)")
    args = parser.parse_args()
    ratios = {}
    for name in args.spaces:
        space, rng = SEARCH_SPACES[name](), np.random.default_rng(0)
        archs = [space.sample(rng) for _ in range(args.archs)]
        models = MetaModels(space)
        first, first_ms = as_in_a_search(models, archs[:N_FIRST])
        rest, rest_ms = as_in_a_search(models, archs[N_FIRST:])
        exact, counted_ms = as_in_a_search(Counting(space), archs)
        n_wrong = sum(a != b for a, b in zip(first + rest, exact, strict=True))
        print(f"{name:15} counted {counted_ms:7.2f}  first {N_FIRST} {first_ms:7.2f}  then {rest_ms:7.3f}", end="  ")
        print(f"wrong {n_wrong} of {args.archs}", flush=True)
        ratios[name] = rest_ms / counted_ms
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
