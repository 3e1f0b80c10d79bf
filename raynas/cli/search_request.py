"""The command line of ``raynas search``, read without the classes that it names.

The options depend on the entries that are chosen from the tables, so the names are read first and the parser is made
for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raynas.cli.flags import (
    chosen,
    demo_fields,
    demo_only,
    expand,
    flags_in_files,
    given,
    last_value,
    model_in,
    texts_in,
    typed,
    with_demo,
)
from raynas.cli.funnel_flags import NOT_IN_FUNNEL, USUAL_IN_FUNNEL, asks_for_funnel, chosen_for_funnel
from raynas.cli.options import (
    FROM_DATA,
    LatencyOptions,
    RepeatOptions,
    ReportOptions,
    RetrainOptions,
    RunOptions,
    SearchOptions,
)
from raynas.cli.parser import OptionParser, Parsed
from raynas.cli.search_name import search_name, search_title
from raynas.errors import RaynasError

RETRAINED = ("subnet", "train")
"""Trainables that train on images, so that the winner can be trained to its end."""

COMMON = (
    *(
        "trainable.data",
        "space.name",
        "model.name",
        "strategy.name",
        "trainable.name",
        "early_stopping.name",
        "method.name",
    ),
    *("objectives", "constraints", "baseline", "num_samples", "trainable.epochs", "seed"),
    *("name", "results", "max_concurrent", "compare_random", "retrain.epochs"),
)
"""The options that most searches need."""

EXAMPLES = """\
examples:
  raynas search --demo                             small CNNs of at most 5,000 parameters find and read scattered digits
  raynas search --demo --num_samples 120           go on with that search
  raynas search                                    small CNNs on scikit-learn's digits, in a few minutes
  raynas search --data folder:photos --epochs 27   images of your own, one folder per class
  raynas search --space nasbench201 --space.channels 8 --data cifar10 --num_samples 100
  raynas search --model my_net:Net --vary "blocks.*=width:0.5,0.75" --keep head --data folder:photos
  raynas search --objectives accuracy latency_ms --constraints "params <= 1e5"
  raynas search --strategy optuna --early_stopping median --hyperparameters.lr "loguniform(1e-3, 1e-1)"
  raynas search --space nasbench201 --trainable subnet --method single_path   shared weights first, then their subnets
  raynas search --funnel "zero_cost 300 synflow" "train 20 epochs=2" "train 5"   cheap scores first, then training
  raynas search --config my_search.yaml --seed 1   options from a file; flags win
  raynas search --strategy local --help            the options of another strategy"""


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """The options of a search, each of its type, and the names of the classes that they are for.

    Args:
        names: the name chosen from each table.
        options: the values of all options.
        search: see ``SearchOptions``; hyperparameters are texts.
        run: see ``RunOptions``; the name is filled in.
        latency: see ``LatencyOptions``.
        repeats: see ``RepeatOptions``.
        report: see ``ReportOptions``.
        retrain: see ``RetrainOptions``; None where the trainable is none that can retrain.
        given: the options that the user gave, by path.
        text: all options as YAML for ``--config``.
    """

    names: Mapping[str, str]
    options: Parsed
    search: SearchOptions
    run: RunOptions
    latency: LatencyOptions
    repeats: RepeatOptions
    report: ReportOptions
    retrain: RetrainOptions | None
    given: frozenset[str]
    text: str

    @property
    def title(self) -> str:
        """Space, data and strategy in a line."""
        scoring = self.options.fields_of("trainable", self.names["trainable"])
        return search_title(self.names, str(scoring.get("data") or scoring.get("fn", "")), len(self.search.funnel))


def read_search(argv: Sequence[str]) -> SearchRequest:
    """Read the command line.

    Raises:
        RaynasError: if an option or a name is unknown, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    argv = with_demo(argv)
    tokens = expand(argv)
    is_funnel = asks_for_funnel(tokens)
    names = _chosen(tokens)
    retrains = names["trainable"] in RETRAINED
    options = _parser(names, tokens, texts_in(flags_in_files(argv, typed(argv)))).parse(tokens)
    run, search = options.make(RunOptions), options.make(SearchOptions)
    return SearchRequest(
        names=names,
        options=options,
        search=search,
        run=run if run.name is not None else replace(run, name=search_name(names, options.changed)),
        latency=options.make(LatencyOptions, "latency."),
        repeats=options.make(RepeatOptions, "repeats."),
        report=options.make(ReportOptions),
        retrain=options.make(RetrainOptions, "retrain.") if retrains else None,
        given=given(tokens),
        text=options.as_yaml(tokens, [*(NOT_IN_FUNNEL if is_funnel else ()), *([] if model_in(tokens) else ["model"])]),
    )


def _parser(names: Mapping[str, str], tokens: Sequence[str], in_files: Mapping[str, str]) -> OptionParser:
    retrains = names["trainable"] in RETRAINED
    parser = OptionParser(
        "raynas search",
        "[OPTIONS]",
        "Search for a neural network architecture with Ray Tune. Run the same command again to resume.",
        EXAMPLES,
        FROM_DATA if retrains else (),
        in_files,
        COMMON,
    )
    parser.add_fields("search", SearchOptions)
    parser.add_space(names["space"], model_in(tokens) is not None)
    for option in ("trainable", "method", "strategy", "early_stopping"):
        if option in names:
            usual = USUAL_IN_FUNNEL.get(option) if asks_for_funnel(tokens) else None
            usual = "none" if option == "early_stopping" and "method" in names else usual
            name = names[option]
            defaults, own = demo_fields(name, tokens), demo_only(name, tokens)
            parser.add_entry(option, name, defaults, usual=usual, demo_only=own)
    parser.add_fields("latency", LatencyOptions, "latency.")
    parser.add_fields("run", RunOptions)
    parser.add_fields("repeats", RepeatOptions, "repeats.")
    parser.add_fields("after the search", ReportOptions)
    if retrains:
        parser.add_fields("retraining", RetrainOptions, "retrain.")
    return parser


def _chosen(tokens: Sequence[str]) -> dict[str, str]:
    """Return the names that count: methods are for supernets, and early stopping is for training."""
    names = chosen(tokens)
    if asks_for_funnel(tokens):
        return chosen_for_funnel(tokens, names)
    if _asks_for_generations(tokens) and "early_stopping.name" not in given(tokens):
        names["early_stopping"] = "none"  # it depends on which trial is faster
    if names["trainable"] != "subnet":
        del names["method"]
    elif "early_stopping.name" not in given(tokens):
        names["early_stopping"] = "none"
    elif names["early_stopping"] != "none":
        raise RaynasError("subnets are scored in one step: there is nothing to stop early, leave out --early_stopping")
    return names


def _asks_for_generations(tokens: Sequence[str]) -> bool:
    return last_value(tokens, "generation_size") not in (None, "none")
