"""Does the demo's search find a better network than random search, for the same training and under the same limit?

For each seed, the search of ``raynas search --demo`` and then random search with the same early stopping, until that
has trained for as many epochs. Either winner is trained from scratch to its end, as the demo does, and tested on images
that no search saw; with ``--trainings`` several times, with other seeds, because trainings of one network differ more
than winners do. One process, no cluster, one trial at a time; the trainings are those of the demo, but for their
seed, which is that of the search. Each seed leaves a file, and a run that was killed continues with the next one.

    python scripts/bench/demo_seeds.py --seeds 0 20 --output scripts/bench/results/demo_seeds.md
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from raynas.cli.search_command import SearchCommand, parse_search
from raynas.cli.winner import fitted
from raynas.core.evaluation import Evaluation
from raynas.core.goal import Goal
from raynas.core.space import SearchSpace
from raynas.files.replacing import write_whole
from raynas.metrics import read_goal
from raynas.run.retraining import final_training
from raynas.run.simulate import Report, Simulation
from raynas.strategies import RandomSearch, Strategy
from raynas.threads import limited_threads
from raynas.trials import Training, TrialRunner
from raynas.trials.progress import Config
from raynas.trials.retrain import FinalTraining
from raynas.views.amounts import epochs

APART = 1000
"""Difference between the seeds of two trainings of a winner; the first has the seed of the search."""

Row = dict[str, Any]


class Epochs(Sequence[Report]):
    """The reports of a trial, each epoch trained when it is asked for; all epochs take the same simulated time.

    Args:
        runner: trains; one trial at a time.
        config: of the trial.
    """

    def __init__(self, runner: TrialRunner[Any], config: Config) -> None:
        self._runner, self._config = runner, config
        self._reports: list[Report] = []

    def __len__(self) -> int:
        ended = self._reports and self._reports[-1]["done"]
        return len(self._reports) if ended else self._runner.settings.max_fidelity

    def __getitem__(self, i: Any) -> Any:
        if not self._reports:
            self._runner.begin(self._config)
        while len(self._reports) <= i:
            report = self._runner.step()
            self._reports.append({name: value for name, value in report.items() if name != "train_seconds"})
        return self._reports[i]


def searched(
    command: SearchCommand, strategy: Strategy, seed: int, is_enough: Callable[[Simulation], bool]
) -> tuple[SearchSpace, Goal, list[Evaluation]]:
    """Run a search until it is long enough; return its space, its goal and its evaluations."""
    training = replace(_training(command), seed=seed)
    space, _ = fitted(command.space, training, command.given)
    asked = read_goal(command.search.objectives, command.search.constraints, command.metrics)
    goal = replace(asked, tolerance=command.search.tolerance)
    strategy = strategy.for_budget(command.search.num_samples)
    searcher = strategy.searcher(space, goal, seed=seed, costs=training.costs(space, goal.metrics))
    scheduler = strategy.scheduler(goal.first, training.max_fidelity)
    simulation = Simulation(searcher, partial(Epochs, training.runner(space, goal.names)), scheduler)
    while not is_enough(simulation) and simulation.start():
        while simulation.n_running:
            simulation.advance()
    found = (searcher.evaluation_of(trial) for trial, _, _ in simulation.ended)
    return space, goal, [e for e in found if e is not None]


def _training(command: SearchCommand) -> Training:
    assert isinstance(command.trainable, Training)
    return command.trainable


def tested(command: SearchCommand, space: SearchSpace, winner: Evaluation, seed: int) -> float:
    """Train a winner to its end, as the demo does, and return its accuracy on the test images."""
    assert command.retrain is not None
    training = replace(final_training(_training(command), winner, command.retrain.epochs), seed=seed)
    make = partial(FinalTraining, reduced=space, source=training.load_source().for_final_training())
    runner = TrialRunner(space, training, make, ("params",))
    runner.begin({"arch": winner.arch.to_config()})
    while not (result := runner.step())["done"]:
        pass
    if result["failed"]:
        raise RuntimeError(f"the winner {winner.arch.key} could not be trained: {result['error']}")
    with limited_threads(training.n_threads):
        return runner.trial.trainer.examine("test")["accuracy"]


def row_of(command: SearchCommand, seed: int, n_trainings: int) -> Row:
    """Run the search and its rival of one seed; test each winner after so many trainings."""
    n_trials = command.search.num_samples
    side = partial(_side, command, seed, n_trainings)
    ours = side(command.strategy, lambda simulation: simulation.n_started >= n_trials)
    rival = RandomSearch(early_stopping=command.strategy.early_stopping)
    random = side(rival, lambda simulation: simulation.trained >= ours["epochs"])
    return {"seed": seed, "search": ours, "random": random}


def _side(
    command: SearchCommand, seed: int, n_trainings: int, strategy: Strategy, is_enough: Callable[[Simulation], bool]
) -> Row:
    start = time.process_time()
    space, goal, evaluations = searched(command, strategy, seed, is_enough)
    seconds = time.process_time() - start
    best = goal.best(e for e in evaluations if e.status == "finished")
    if best is None:
        raise RuntimeError(f"seed {seed}: {type(strategy).__name__} found nothing")
    tests = [float(tested(command, space, best, seed + i * APART)) for i in range(n_trainings)]
    return {
        "arch": best.arch.to_config(),
        "trials": len(evaluations),
        "epochs": sum(e.fidelity for e in evaluations),
        "cpu_seconds": round(seconds, 1),
        "accuracy": float(best.metrics["accuracy"]),
        "params": best.metrics["params"],
        "tests": tests,
        "test_accuracy": statistics.fmean(tests),
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and half of its 95 % interval by Student's t; infinite for a single value."""
    n = len(values)
    if n < 2:
        return statistics.fmean(values), math.inf
    return statistics.fmean(values), float(student.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n)


def table(rows: Sequence[Row], demo: str) -> str:
    """Return the rows in Markdown, with the mean difference of the test accuracies and its interval."""
    mean, half = interval([row["search"]["test_accuracy"] - row["random"]["test_accuracy"] for row in rows])
    n_tests = min(len(row[side].get("tests", [0])) for row in rows for side in ("search", "random"))
    sides = [(row["seed"], row["search"], row["random"]) for row in rows]
    lines = [
        "# The demo's search against random search",
        "",
        f"`demo_seeds.py`, seeds {rows[0]['seed']} to {rows[-1]['seed']}: {demo}.",
        "Random search has the same early stopping and trains for as",
        f"many epochs. Test accuracy is that of the winner, trained from scratch to its end, the mean of {n_tests};",
        "trainings have the seeds of the searches, or follow from them.",
        "",
        f"**Test accuracy: {_mean(rows, 'search')} against {_mean(rows, 'random')}; "
        f"difference {100 * mean:+.2f} points, 95 % interval ± {100 * half:.2f}.**",
        "",
        "| seed | test, search | test, random | validation, search | validation, random | params, search "
        "| params, random | epochs | trials, random | CPU s, search | CPU s, random |",
        "|" + "---|" * 11,
    ]
    for seed, ours, random in sides:
        shares = [f"{side[name]:.4f}" for name in ("test_accuracy", "accuracy") for side in (ours, random)]
        counts = [ours["params"], random["params"], ours["epochs"], random["trials"]]
        seconds = [ours["cpu_seconds"], random["cpu_seconds"]]
        lines.append(f"| {' | '.join(map(str, [seed, *shares, *(f'{n:.0f}' for n in counts), *seconds]))} |")
    return "\n".join(lines) + "\n"


def _mean(rows: Sequence[Row], side: str) -> str:
    mean, half = interval([row[side]["test_accuracy"] for row in rows])
    return f"{100 * mean:.2f} ± {100 * half:.2f} %"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 20), metavar=("FIRST", "END"))
    parser.add_argument("--results", type=Path, default=Path("results/demo_seeds"))
    parser.add_argument("--trainings", type=int, default=1, help="of each winner, to its end")
    parser.add_argument("--output", type=Path, help="the table in Markdown; by default it is printed")
    parser.add_argument("demo", nargs="*", help="further flags of raynas search, behind --")
    args = parser.parse_args(argv)
    command = parse_search(["--demo", *args.demo])
    args.results.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(*args.seeds):
        file = args.results / f"seed_{seed:04d}.json"
        if not file.exists():
            write_whole(file, json.dumps(row_of(command, seed, args.trainings), indent=2) + "\n")
        rows.append(json.loads(file.read_text()))
    limits = ", ".join(command.search.constraints)
    assert command.retrain is not None
    last = f"{epochs(command.retrain.epochs)} of the final training"
    text = table(rows, f"{command.search.num_samples} trials, {limits}, {last}")
    if args.output:
        args.output.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
