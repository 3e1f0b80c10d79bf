"""The options of the two scripts as typed dataclasses, read from an argument vector.

Which options there are depends on what was chosen, so the names are looked up first and the parser is made for them.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raynas.cli.flags import DEMO_DATA, TABLES, chosen, demo_fields, expand, flags_of, given, read_options
from raynas.cli.hyperparameters import parse_hyperparameters
from raynas.cli.parser import OptionParser
from raynas.cli.stages import (
    NOT_IN_FUNNEL,
    USUAL_IN_FUNNEL,
    asks_for_funnel,
    chosen_for_funnel,
    parse_stages,
    without_numbers,
)
from raynas.core.space import SearchSpace
from raynas.errors import RaynasError
from raynas.funnels import FunnelStage, check_stages
from raynas.metrics import read_goal
from raynas.strategies import Strategy
from raynas.trials import Training, TrialSettings

FROM_DATA = ("space.input_shape", "space.n_classes")
"""Fields of a space that follow from the data where training knows it."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What to search for, and for how long.

    Args:
        objectives: metrics to optimise, the one that early stopping goes by first: accuracy, loss, params, macs,
            latency_ms, train_seconds, peak_memory_mb; max:NAME or min:NAME for a metric of your own.
        constraints: limits, each in quotes: "latency_ms <= 5", "params <= 0.9 * baseline", "macs <= 3e8 soft".
        num_samples: trials in the end; a larger number extends a finished search.
        seed: of the strategy (that of the training is --trainable.seed).
        hyperparameters: searched together with the architecture: --hyperparameters.lr "loguniform(1e-3, 1e-1)",
            likewise uniform(low, high), randint(low, high) without high, choice(a, b, ...), or a constant.
        baseline: architecture file that "baseline" in a constraint refers to; it is tried first.
        funnel: a search in stages, each on the best of the one before, in quotes: "TRAINABLE NUMBER [METRIC ...]
            [OPTION=VALUE ...]", e.g. "zero_cost 1000 synflow" "train 60 epochs=2" "train 8 epochs=30". Other options of
            a stage are those of --trainable. The strategy, random by default, proposes the first.

    Raises:
        ValueError: if a number is too small.
    """

    objectives: tuple[str, ...] = ("accuracy",)
    constraints: tuple[str, ...] = ()
    num_samples: int = 60
    seed: int = 0
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    funnel: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where to run, and where everything is kept.

    Args:
        name: of this search's folder; by default made of what is searched and how, so that the same command resumes.
        results: folder that holds the folders of all searches; on a cluster, one that every node sees.
        max_concurrent: trials at a time; by default as many as there are CPUs (or GPUs) for. 1 makes a search
            reproducible.
        address: of a running Ray cluster, e.g. auto; by default RAY_ADDRESS, or Ray is started on this machine.
        progress: show a live table.
        tensorboard: write TensorBoard logs.

    Raises:
        ValueError: if the name cannot be a folder's, or ``max_concurrent`` is below 1.
    """

    name: str | None = None
    results: str = "results"
    max_concurrent: int | None = None
    address: str | None = None
    progress: bool = True
    tensorboard: bool = True

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"[\w.-]*\w[\w.-]*", self.name):
            raise ValueError(f"name must be letters, digits, '.', '_' and '-', got {self.name!r}")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ValueError(f"max_concurrent must be at least 1, got {self.max_concurrent}")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What comes after the search.

    Args:
        compare_random: run random search too, with as many trials, and compare; takes about as long again.
    """

    compare_random: bool = True


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """The winner, trained from scratch on training and validation images and tested.

    Args:
        epochs: how long; 0 leaves it out.
        space: size of the final network: --retrain.space.channels 32.

    Raises:
        ValueError: if ``epochs`` is negative.
    """

    epochs: int = 30
    space: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"retrain.epochs must be at least 0, got {self.epochs}")


@dataclass(frozen=True, kw_only=True)
class SearchCommand:
    """What ``scripts/run_tune.py`` was asked to do.

    Args:
        names: what was chosen from each table.
        space: makes the space; takes the fields that follow from the data.
        strategy: with its early stopping.
        trainable: how architectures are scored; in a funnel, in its last stage.
        search: see ``SearchOptions``; hyperparameters are Tune domains.
        run: see ``RunOptions``; the name is filled in.
        report: see ``ReportOptions``.
        retrain: see ``RetrainOptions``; None where the trainable is none that can retrain.
        given: the options that the user gave, by path.
        text: all options as YAML for ``--config``.
        stages: of a funnel; none for a search in one stage.
    """

    names: Mapping[str, str]
    space: Callable[..., SearchSpace]
    strategy: Strategy
    trainable: TrialSettings
    search: SearchOptions
    run: RunOptions
    report: ReportOptions
    retrain: RetrainOptions | None
    given: frozenset[str]
    text: str
    stages: tuple[FunnelStage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RetrainCommand:
    """What ``scripts/retrain.py`` was asked to do.

    Args:
        file: the architecture file.
        space: makes the space; takes the fields that follow from the data.
        training: how to train.
        output: where everything goes.
        given: the options that the user or the settings beside the file gave, by path.
        settings: the file of settings beside the architecture, if it was used.
    """

    file: Path
    space: Callable[..., SearchSpace]
    training: Training
    output: Path | None
    given: frozenset[str]
    settings: Path | None


# --- the two commands ------------------------------------------------------------------------------------------------

SEARCH_EXAMPLES = """\
examples:
  run_tune.py                                    small CNNs on scikit-learn's digits, in a few minutes
  run_tune.py --num_samples 120                  go on with that search
  run_tune.py --data folder:photos --epochs 27   images of your own, one folder per class
  run_tune.py --space nasbench201 --space.channels 8 --data cifar10 --num_samples 100
  run_tune.py --objectives accuracy latency_ms --constraints "params <= 1e5"
  run_tune.py --strategy optuna --early_stopping median --hyperparameters.lr "loguniform(1e-3, 1e-1)"
  run_tune.py --space nasbench201 --trainable subnet --method single_path   shared weights first, then their subnets
  run_tune.py --funnel "zero_cost 300 synflow" "train 20 epochs=2" "train 5"   cheap scores first, then training
  run_tune.py --config my_search.yaml --seed 1   options from a file; flags win
  run_tune.py --strategy local --help            the options of another strategy"""

RETRAIN_EXAMPLES = """\
examples:
  retrain.py results/cnn-digits-auto/best/architecture.json
  retrain.py my_cell.json --space nasbench201 --space.channels 16 --data cifar10 --epochs 100"""


def parse_search(argv: Sequence[str]) -> SearchCommand:
    """Read the command line of ``scripts/run_tune.py``.

    Raises:
        RaynasError: if an option or a name is unknown, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    tokens = expand(argv)
    is_funnel = asks_for_funnel(tokens)
    names = _chosen_for_search(tokens)
    kind = TABLES["trainable"][1][names["trainable"]]
    retrains = kind is not None and issubclass(kind, Training)
    parser = OptionParser(
        "run_tune.py",
        "[--config FILE] [OPTIONS]",
        "Search for a neural network architecture with Ray Tune. Run the same command again to resume.",
        SEARCH_EXAMPLES,
        FROM_DATA if retrains else (),
    )
    parser.add_fields("search", SearchOptions)
    for option in ("space", "trainable", "method", "strategy", "early_stopping"):
        if option in names:
            usual = USUAL_IN_FUNNEL.get(option) if is_funnel else None
            usual = "none" if option == "early_stopping" and "method" in names else usual
            parser.add_entry(option, names[option], demo_fields(names[option], tokens), usual=usual)
    parser.add_fields("run", RunOptions)
    parser.add_fields("after the search", ReportOptions)
    if retrains:
        parser.add_fields("retraining", RetrainOptions, "retrain.")
    options = parser.parse(tokens)
    method = {"method": parser.entry("method", names, options)()} if "method" in names else {}
    trainable = parser.entry("trainable", names, options)(**method)
    stopping = parser.entry("early_stopping", names, options)
    search = parser.made(SearchOptions, options)
    early_stopping = stopping() if stopping else None
    stages = parse_stages(search.funnel, trainable, early_stopping)
    goal = read_goal(search.objectives, search.constraints)
    if stages:
        check_stages(stages, goal)
    else:
        trainable.check_metrics(goal.names)
    trainable = stages[-1].settings if stages else trainable
    if method and search.hyperparameters:
        raise RaynasError("subnets inherit weights and are not trained: there are no --hyperparameters to search")
    return SearchCommand(
        names=names,
        space=parser.entry("space", names, options),
        strategy=parser.entry("strategy", names, options)(early_stopping=None if stages else early_stopping),
        trainable=trainable,
        search=replace(search, hyperparameters=parse_hyperparameters(search.hyperparameters, trainable)),
        run=_named(parser.made(RunOptions, options), names, parser.changed(options)),
        report=parser.made(ReportOptions, options),
        retrain=parser.made(RetrainOptions, options, "retrain.") if retrains else None,
        given=given(tokens),
        text=parser.dump(options, tokens, NOT_IN_FUNNEL if is_funnel else ()),
        stages=stages,
    )


def _chosen_for_search(tokens: Sequence[str]) -> dict[str, str]:
    """The names chosen from the tables that count: methods are for supernets, and early stopping is for training."""
    names = chosen(tokens, TABLES)
    if asks_for_funnel(tokens):
        return chosen_for_funnel(tokens, names)
    if names["trainable"] != "subnet":
        del names["method"]
    elif "early_stopping.name" not in given(tokens):
        names["early_stopping"] = "none"
    elif names["early_stopping"] != "none":
        raise RaynasError("subnets are scored in one step: there is nothing to stop early, leave out --early_stopping")
    return names


def parse_retrain(argv: Sequence[str]) -> RetrainCommand:
    """Read the command line of ``scripts/retrain.py``; settings that the search left beside the file are the defaults.

    Raises:
        RaynasError: if an option or a name is unknown, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    file, flags = (Path(argv[0]), argv[1:]) if argv and not argv[0].startswith("-") else (None, argv)
    beside = file.parent / RETRAIN_SETTINGS if file else None
    settings = beside if beside and beside.is_file() and not any(t.startswith("--config") for t in flags) else None
    asked = expand(flags)
    tokens = [*_settings(settings, asked), *asked]
    names = chosen(tokens, {"space": TABLES["space"]})
    parser = OptionParser(
        "retrain.py",
        "ARCHITECTURE.json [--config FILE] [OPTIONS]",
        "Train a found architecture from scratch on training and validation images, and test it. Run the same command "
        f"again to resume. Defaults are the settings in {RETRAIN_SETTINGS} beside the file, if it is there.",
        RETRAIN_EXAMPLES,
        FROM_DATA,
    )
    parser.add_entry("space", names["space"])
    parser.add_entry("trainable", "train", {"epochs": RetrainOptions().epochs}, choose=False)
    parser.add_fields("where", OutputOptions)
    options = parser.parse(tokens)
    if file is None:
        raise RaynasError("give the architecture file first: retrain.py ARCHITECTURE.json [OPTIONS]; see --help")
    training: Training = parser.entry("trainable", {"trainable": "train"}, options)()
    if settings and names_code(training.data) and "trainable.data" not in given(asked):
        raise RaynasError(
            f"{settings} names code as data; if it is yours and should run, say so: --data {training.data}"
        )
    output = parser.made(OutputOptions, options).output
    return RetrainCommand(
        file=file,
        space=parser.entry("space", names, options),
        training=training,
        output=Path(output) if output else None,
        given=given(tokens),
        settings=settings,
    )


RETRAIN_SETTINGS = "retrain.yaml"
"""What a search leaves beside the architecture that it found."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the trained network goes.

    Args:
        output: folder for weights, architecture and metrics; by default a folder beside the architecture file.
    """

    output: str | None = None


def _settings(path: Path | None, asked: Sequence[str]) -> list[str]:
    """The flags that the settings beside an architecture stand for; without its space's if another was asked for."""
    options = read_options(path) if path else {}
    table = {"space": TABLES["space"]}
    if "space.name" in given(asked) and chosen(asked, table) != chosen(flags_of(options), table):
        options.pop("space", None)
    return flags_of(options)


def names_code(data: str) -> bool:
    """Whether data is ``module:function``, which is imported and called."""
    return ":" in data and data.partition(":")[0] not in ("npz", "folder")


def _named(run: RunOptions, names: Mapping[str, str], changed: Mapping[str, Any]) -> RunOptions:
    """Fill in the name, so that every different search has a folder of its own and the same one is resumed."""
    if run.name is not None:
        return run
    about = str(changed.get("trainable.fn") or changed.get("trainable.data") or DEMO_DATA)
    about = re.sub(r"\W+", "_", Path(re.sub(r"^(npz|folder):", "", about)).stem)
    funnel = ["funnel"] if changed.get("funnel") else []
    parts = [names["space"], about, *funnel, *(["subnets"] if "method" in names else []), names["strategy"]]
    parts += [f"seed{changed['seed']}"] if "seed" in changed else []
    other = {key: value for key, value in changed.items() if key not in NO_OTHER_SEARCH}
    other |= {"funnel": without_numbers(other["funnel"])} if funnel else {}
    parts += [hashlib.sha256(json.dumps(other, sort_keys=True).encode()).hexdigest()[:6]] if other else []
    return replace(run, name="-".join(parts))


NO_OTHER_SEARCH = frozenset(
    (
        *("space.name", "strategy.name", "trainable.name", "trainable.data", "trainable.fn", "seed", "num_samples"),
        *("name", "results", "max_concurrent", "address", "progress", "tensorboard", "compare_random"),
        *("retrain.epochs", "retrain.space"),
        *("trainable.data_dir", "trainable.device", "trainable.gpus", "trainable.n_threads", "trainable.bulk"),
    )
)
"""Options that stand in a search's name, or that leave it the same search."""
