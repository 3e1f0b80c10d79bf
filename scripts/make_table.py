"""Train every network of a small search space, and write the table that ``--trainable tabular`` answers trials from.

A search on the table then takes seconds, which is how strategies are compared. Of architectures that compute the same
function (``SearchSpace.function_key``) one is trained and all get its row. Each training is a line of a file beside the
table, so that a killed run can be resumed.

    python scripts/make_table.py --space mlp --space.max_layers 2 --epochs 27 --workers 4 --output a.csv.gz

The columns: ``arch`` (JSON), ``accuracy_epoch1``, ``accuracy_epoch2``, ... of the validation images, ``test_accuracy``
after the last epoch, ``params``, ``macs``, and ``seconds`` per epoch, validation included. Scores are means over
``--n_seeds`` trainings.
"""

import json
import multiprocessing
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from raynas.cli.flags import chosen, demo_fields, expand, given, model_in
from raynas.cli.options import FROM_DATA
from raynas.cli.parser import OptionParser
from raynas.cli.spaces import space_maker
from raynas.cli.winner import fitted
from raynas.core.architecture import Architecture
from raynas.core.space import SearchSpace
from raynas.data.images import ImageData
from raynas.errors import RaynasError
from raynas.metrics import untrained_metrics
from raynas.trials import Training, TrialRunner
from raynas.trials.training import TrainingTrial

Task = tuple[Architecture, int]
"""An architecture to train, and the index of its seed."""

Line = Mapping[str, Any]
"""The record of a training: architecture, seed, curve, test_accuracy, seconds; or an error."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """The table to write.

    Args:
        output: the table, a file that ends in .csv.gz or .csv; what was trained so far is beside it, in .jsonl.
        workers: processes that train side by side.
        n_seeds: trainings of each network, with different weights and order of images; the table has their mean.
        max_networks: refuse spaces with more different networks than this.

    Raises:
        ValueError: if a number is below 1, or the file's name ends otherwise.
    """

    output: str = "table.csv.gz"
    workers: int = 1
    n_seeds: int = 1
    max_networks: int = 20_000

    def __post_init__(self) -> None:
        for name in ("workers", "n_seeds", "max_networks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.output.endswith((".csv", ".csv.gz")):
            raise ValueError(f"output must end in .csv.gz or .csv, got {self.output!r}")

    @property
    def lines(self) -> Path:
        """The file of trainings, one a line."""
        return Path(self.output.removesuffix(".gz").removesuffix(".csv") + ".jsonl")


def parse(argv: Sequence[str]) -> tuple[SearchSpace, Training, TableOptions]:
    """Read the command line.

    Raises:
        RaynasError: if an option or a name is unknown, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    tokens = expand(argv)
    names = chosen(tokens, ["space"])
    parser = OptionParser(
        "make_table.py", "[--config FILE] [OPTIONS]", (__doc__ or "").split("\n\n")[0], __doc__ or "", FROM_DATA
    )
    parser.add_fields("table", TableOptions)
    parser.add_space(names["space"], model_in(tokens) is not None)
    parser.add_entry("trainable", "train", demo_fields("train", tokens), choose=False)
    options = parser.parse(tokens)
    training = Training(**options.fields_of("trainable", "train"))
    make_space = space_maker(options, names["space"], given(tokens))
    space, data = fitted(make_space, training, given(tokens))
    return space, replace(training, data=data), options.make(TableOptions)


def functions(space: SearchSpace, limit: int) -> dict[Architecture, list[Architecture]]:
    """Return the architectures that compute the same, by the first of them.

    Raises:
        RaynasError: if the space is too large to train all of it.
    """
    groups: dict[Hashable, list[Architecture]] = defaultdict(list)
    if space.size > 100 * limit:
        raise RaynasError(f"{space.name} has {space.size:,} architectures: choose a smaller space for a table")
    for arch in space.enumerate():
        groups[space.function_key(arch)].append(arch)
    if len(groups) > limit:
        raise RaynasError(f"{space.name} has {len(groups):,} different networks, and max_networks is {limit:,}")
    return {archs[0]: archs for archs in groups.values()}


# --- training --------------------------------------------------------------------------------------------------------

_runner: Callable[[int], TrialRunner[TrainingTrial]]
"""The trial of each seed; made once in each worker, as the data is loaded with it."""


def prepare(space: SearchSpace, training: Training) -> None:
    """Get a worker ready."""
    global _runner
    torch.set_num_threads(training.n_threads)
    space, reduced, source = training.at_fidelity(space)
    whole = training.load_source().reduced(training.data_fraction, training.resolution)
    if isinstance(source, ImageData) and isinstance(whole, ImageData):
        source = replace(source, test=whole.test)  # trials do not see the test images; a table reports on them

    def runner(seed: int) -> TrialRunner[TrainingTrial]:
        make = partial(TrainingTrial, reduced=reduced, source=source)
        return TrialRunner(space, replace(training, seed=seed), make, counted=())

    _runner = runner


def trained(task: Task) -> Line:
    """Train one network to its end."""
    arch, seed = task
    runner = _runner(seed)
    runner.begin({"arch": dict(arch)})
    results = [runner.step()]
    while not results[-1]["done"]:
        results.append(runner.step())
    last = results[-1]
    line = {"arch": dict(arch), "seed": seed}
    if last["failed"]:
        return {**line, "error": last["error"]}
    return {
        **line,
        "curve": [result["accuracy"] for result in results],
        "test_accuracy": runner.trial.trainer.examine("test")["accuracy"],
        "seconds": last["train_seconds"] / last["training_iteration"],
    }


def train_all(space: SearchSpace, training: Training, tasks: Sequence[Task], workers: int) -> Iterator[Line]:
    """Train each, in this process if one is enough; in the order of their ends."""
    if workers == 1:
        prepare(space, training)
        yield from map(trained, tasks)
        return
    # A process that was forked from one that has used torch's threads may hang.
    with multiprocessing.get_context("spawn").Pool(workers, prepare, (space, training)) as pool:
        yield from pool.imap_unordered(trained, tasks)


# --- what was trained so far -----------------------------------------------------------------------------------------


def read(path: Path, about: str) -> list[Line]:
    """Return the trainings so far; a last line that was cut is dropped.

    Raises:
        RaynasError: if they are of another space or training.
    """
    if not path.exists():
        return []
    content = path.read_text(encoding="utf-8")
    whole = content[: content.rfind("\n") + 1]
    if whole != content:
        path.write_text(whole, encoding="utf-8")
    head, *lines = map(json.loads, whole.splitlines() or [json.dumps({"about": about})])
    if head["about"] != about:
        raise RaynasError(
            f"{path} holds trainings with other settings ({head['about']}): remove it, or choose another output"
        )
    return lines


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def key_of(line: Line) -> tuple[str, int]:
    """Return the identity of a training."""
    return Architecture(line["arch"]).key, line["seed"]


# --- the table -------------------------------------------------------------------------------------------------------


def table(
    space: SearchSpace, groups: Mapping[Architecture, Sequence[Architecture]], lines: Sequence[Line]
) -> pd.DataFrame:
    """Return a row for each architecture, those of the same function below each other; failed ones have no scores."""
    by_network: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if "curve" in line:
            by_network[Architecture(line["arch"]).key].append(line)
    costs = untrained_metrics(space, ["params", "macs"])
    rows = []
    for first, archs in groups.items():
        scores = scores_of(by_network[first.key])
        for arch in archs:
            told = {name: int(cost(arch)) for name, cost in costs.items()}
            rows.append({"arch": arch.to_json(), **scores, **told})
    frame: pd.DataFrame = pd.DataFrame(rows)
    return frame


def scores_of(lines: Sequence[Line]) -> dict[str, float]:
    """Return the columns that training gives, means over seeds; none if every training failed."""
    if not lines:
        return {}
    curve = np.mean([line["curve"] for line in lines], axis=0)
    return {
        **{f"accuracy_epoch{epoch}": round(float(value), 4) for epoch, value in enumerate(curve, 1)},
        "test_accuracy": round(float(np.mean([line["test_accuracy"] for line in lines])), 4),
        "seconds": round(float(np.mean([line["seconds"] for line in lines])), 4),
    }


def main(argv: Sequence[str]) -> int:
    try:
        space, training, options = parse(argv)
    except (RaynasError, ValueError) as error:
        return refuse(error)
    try:
        make(space, training, options, Console())
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again to go on from here.", file=sys.stderr)
        return 130
    except RaynasError as error:
        return refuse(error)
    return 0


def refuse(error: Exception) -> int:
    """Print the error in one line; return the exit code."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def make(space: SearchSpace, training: Training, options: TableOptions, console: Console) -> None:
    """Train what is missing, and write the table."""
    groups = functions(space, options.max_networks)
    about = f"{space!r} {training.description}"
    Path(options.output).parent.mkdir(parents=True, exist_ok=True)
    lines = read(options.lines, about)
    if not lines and not options.lines.exists():
        append(options.lines, {"about": about})
    seeds = range(training.seed, training.seed + options.n_seeds)
    done = {key_of(line) for line in lines}
    tasks = [(arch, seed) for seed in seeds for arch in groups if (arch.key, seed) not in done]
    n = len(groups) * options.n_seeds
    console.print(f"{space.size:,} architectures, {len(groups):,} networks, {len(tasks):,} of {n:,} trainings to do")
    with Progress(
        *(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()),
        console=console,
    ) as progress:
        bar = progress.add_task("", total=n, completed=n - len(tasks))
        for line in train_all(space, training, tasks, options.workers):
            append(options.lines, line)
            lines.append(line)
            progress.advance(bar)
    wanted = [line for line in lines if line["seed"] in seeds]
    frame = table(space, groups, wanted)
    frame.to_csv(options.output, index=False)
    failed = sum("error" in line for line in wanted)
    console.print(f"{options.output}: {len(frame):,} rows, {Path(options.output).stat().st_size / 1000:.0f} kB")
    if failed:
        console.print(f"{failed} trainings failed; their networks have the scores of other seeds, or none")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
