"""Members of a low rank, without any training: weights approximated, or the outputs of layers on training data.

Trained networks (``trained_models.py``) with all layers of one share of their parameters, by their loss on validation
data. Outputs are approximated on 8 batches of training data. Nothing is tuned.

    python scripts/bench/low_rank.py --folder models
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from raynas.low_rank import low_rank_space
from scripts.bench.trained_models import MODELS, Batches, loss_of

SHARES = (0.9, 0.75, 0.5, 0.25)


def loss(network: nn.Module, batches: Batches) -> float:
    """Return the mean loss of a network."""
    with torch.no_grad():
        return statistics.fmean(float(loss_of(network(inputs), targets)) for inputs, targets in batches)


def main(given: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the trained networks")
    parser.add_argument("--models", nargs="+", default=["gpt", "residual"], choices=sorted(MODELS))
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    print("| network | share of each layer | params | loss, weights approximated | loss, outputs approximated |")
    print("|---|---|---|---|---|")
    for name in arguments.models:
        trained = MODELS[name](arguments.folder)
        example = trained.train[0][0][:2]
        print(f"| {name} | 1 | {n_parameters(trained.model):,} | {loss(trained.model, trained.valid):.4f} | |")
        for share in SHARES:
            cells = []
            for batches in (None, [inputs for inputs, _ in trained.train[:8]]):
                space = low_rank_space(trained.model, example, shares=(share,), batches=batches)
                network = space.build(space.bounds[0]).eval()
                cells.append(f"{loss(network, trained.valid):.4f}")
            print(f"| {name} | {share} | {n_parameters(network):,} | {' | '.join(cells)} |", flush=True)


def n_parameters(network: nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    main()
