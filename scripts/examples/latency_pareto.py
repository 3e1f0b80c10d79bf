"""Latency in the loss of DARTS: one search for each target, and the Pareto set of what they find.

python scripts/examples/latency_pareto.py --epochs 20 --targets [2, 3, 5]
"""

from pathlib import Path

from jsonargparse import CLI
from ray import tune

import raynas
from raynas.core.pareto import is_non_dominated
from raynas.metrics import untrained_metrics
from raynas.oneshot.differentiable import Darts, ExpectedCost
from raynas.search_spaces import NASBench201
from raynas.trials import SupernetTraining


def main(
    data: str = "digits", epochs: int = 20, targets: tuple[float, ...] = (0.5, 1, 2), results: str = "results/examples"
) -> None:
    found = []
    for target in targets:
        method = Darts(arch_lr=0.03, costs=(ExpectedCost(metric="latency_ms", target=target, weight=1.0),))
        trained = raynas.train_supernet(
            NASBench201(channels=8, cells=1),
            SupernetTraining(data=data, method=method, epochs=epochs),
            run_config=tune.RunConfig(name=f"latency-{target:g}", storage_path=str(Path(results).resolve())),
        )
        assert trained.derived is not None
        latency = untrained_metrics(trained.space)["latency_ms"](trained.derived)
        found.append((trained.history[-1]["derived_accuracy"], -latency))
    for target, (accuracy, latency), best in zip(targets, found, is_non_dominated(found), strict=True):
        front = ", on the Pareto front" if best else ""
        print(f"target {target:g} ms: {-latency:.2f} ms, accuracy {accuracy:.3f}{front}")


if __name__ == "__main__":
    CLI(main)
