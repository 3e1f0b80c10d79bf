"""Does the demo's search beat random search at equal budget? The defaults of ``run_tune.py``, over several seeds.

Random search runs half as many trials more, so that it can be read at two equal budgets: the same number of trials, and
the same number of epochs trained (early stopping lets the better search train longer). Prints the best validation
accuracy of each seed and the means with their standard errors. Folders that are there already are continued.

    python scripts/bench/beats_random.py --seeds 5 --results results/bench
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import ray
from ray import tune

from raynas import SearchResult, search
from raynas.cli.search_command import SearchCommand, parse_search
from raynas.cli.winner import fitted
from raynas.core.evaluation import Evaluation
from raynas.strategies import RandomSearch, Strategy


def run(command: SearchCommand, strategy: Strategy, trials: int, seed: int, folder: str) -> tuple[SearchResult, float]:
    """One search with the demo's space and training, and how long it took in seconds."""
    space, _ = fitted(command.space, command.trainable, command.given)
    began = time.monotonic()
    result = search(
        space,
        command.trainable,
        strategy,
        num_samples=trials,
        seed=seed,
        progress=False,
        run_config=tune.RunConfig(name=f"{type(strategy).__name__}-{seed}", storage_path=folder),
    )
    return result, time.monotonic() - began


def best(evaluations: Sequence[Evaluation], max_epochs: float = float("inf")) -> float:
    """Return the best accuracy of the fully trained among the first evaluations that fit in so many epochs."""
    found, epochs = 0.0, 0
    for evaluation in evaluations:
        epochs += evaluation.fidelity
        if epochs > max_epochs:
            break
        if evaluation.status == "finished":
            found = max(found, evaluation.metrics["accuracy"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", default="results/bench")
    args = parser.parse_args()
    ray.init(include_dashboard=False, log_to_driver=False)
    command = parse_search([])
    trials = command.search.num_samples
    random_strategy = RandomSearch(early_stopping=command.strategy.early_stopping)
    rows = []
    for seed in range(args.seeds):
        ours, seconds = run(command, command.strategy, trials, seed, args.results)
        random, _ = run(command, random_strategy, trials + trials // 2, seed, args.results)
        epochs = sum(e.fidelity for e in ours.evaluations)
        row = (best(ours.evaluations), best(random.evaluations[:trials]), best(random.evaluations, epochs))
        rows.append(row)
        print(
            f"seed {seed}: search {row[0]:.4f} ({trials} trials, {epochs} epochs, {seconds:.0f} s)   "
            f"random {row[1]:.4f} at equal trials, {row[2]:.4f} at equal epochs",
            flush=True,
        )
    for name, values in zip(
        ("search", "random, equal trials", "random, equal epochs"), zip(*rows, strict=True), strict=True
    ):
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        print(f"{name:21} mean {statistics.mean(values):.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
