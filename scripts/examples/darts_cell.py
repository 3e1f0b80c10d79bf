"""Run DARTS on CIFAR-10 and look at the cell.

python scripts/examples/darts_cell.py --data npz:cifar10_6k.npz --epochs 10
"""

from pathlib import Path

from jsonargparse import CLI
from ray import tune

import raynas
from raynas.oneshot.differentiable import Darts
from raynas.search_spaces import DARTS
from raynas.trials import SupernetTraining


def main(
    data: str = "cifar10", epochs: int = 50, channels: int = 16, cells: int = 8, results: str = "results/examples"
) -> None:
    # In the search batch norms have no scale, which would compete with the weights of the operations.
    space = DARTS(channels=channels, cells=cells, affine=False)
    training = SupernetTraining(
        data=data, method=Darts(), epochs=epochs, batch_size=64, lr=0.025, weight_decay=3e-4, clip_norm=5.0
    )
    run_config = tune.RunConfig(name="darts", storage_path=str(Path(results).resolve()))
    trained = raynas.train_supernet(space, training, run_config=run_config)
    assert trained.derived is not None
    for epoch in trained.history:
        print(f"epoch {epoch['epoch']}: loss {epoch['train_loss']:.3f}, share of skips {epoch['skip_share']:.2f}")
    raynas.draw(trained.space, trained.derived, Path(results) / "darts_cell.svg")
    print(f"the cell: {Path(results) / 'darts_cell.svg'}")


if __name__ == "__main__":
    CLI(main)
