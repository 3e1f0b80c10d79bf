"""The command line of ``raynas compress``, read without the classes that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from raynas.cli.describe import describe
from raynas.cli.flags import chosen, expand, flags_in_files, texts_in, typed
from raynas.cli.model_options import ModelFlags
from raynas.cli.of_model import require_model_and_data, with_model
from raynas.cli.options import LatencyOptions, RepeatOptions, RunOptions
from raynas.cli.parser import OptionParser, Parsed
from raynas.cli.search_name import search_name
from raynas.compressing.effort import Effort
from raynas.errors import RaynasError
from raynas.user_code import split_call
from raynas.validate import require_whole

EXAMPLES = """\
examples:
  raynas compress my_net:model --data folder:photos --constraints "latency_ms <= 0.5 * baseline"
  raynas compress my_net:Net --weights net.pt --data my_data:loaders --outputs values --constraints "params <= 1e6"
  raynas compress my_net:gpt --input my_data:batch --data my_data:loaders --constraints "params <= 1e6"
  raynas compress my_net:net --data cifar10 --constraints "macs <= 40 % of baseline" --n_compared 0"""


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """Objectives, limits, and the score by which members are chosen for recovery.

    Args:
        objectives: metrics by which recovered members are chosen: divergence from the model, agreement, accuracy, loss,
            or max:NAME or min:NAME for one that --trainable.score returns.
        constraints: limits, each in quotes: "latency_ms <= 0.5 * baseline", "macs <= 3e6"; the baseline is the model.
        metrics: metrics to measure and show besides; zero-cost proxies among them, such as synflow, are compared as
            scores before recovery.
        screen: score before recovery by which members are chosen for it: divergence, loss_increase, weight_share,
            taylor_share, agreement, accuracy, loss, or a zero-cost proxy.
        seed: of draws and of the strategy (that of the training is --trainable.seed).
        export: write the result to files that run without raynas, and check them.
        formats: those to write of source, program and onnx, besides weights and card.

    Raises:
        SettingError: if the seed is negative.
    """

    objectives: tuple[str, ...] = ("divergence",)
    constraints: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    screen: str = "divergence"
    seed: int = 0
    export: bool = True
    formats: tuple[str, ...] = ("source", "program", "onnx")

    def __post_init__(self) -> None:
        require_whole("seed", self.seed, 0)


@dataclass(frozen=True, kw_only=True)
class CompressRequest:
    """The options of a compression, each of its type.

    Args:
        model: the model, and what of it may vary.
        compress: see ``CompressOptions``.
        effort: numbers of members and epochs.
        run: see ``RunOptions``; the name is filled in.
        latency: see ``LatencyOptions``.
        repeats: see ``RepeatOptions``.
        names: the names of the strategy and of early stopping.
        options: the values of all options.
        text: all options as YAML for ``--config``.
    """

    model: ModelFlags
    compress: CompressOptions
    effort: Effort
    run: RunOptions
    latency: LatencyOptions
    repeats: RepeatOptions
    names: Mapping[str, str]
    options: Parsed
    text: str

    @property
    def title(self) -> str:
        """Model, data and limits in a line."""
        data = self.options.fields_of("trainable", "distil")["data"]
        return f"{self.model.name} on {data}, {', '.join(self.compress.constraints)}"


def read_compress(argv: Sequence[str]) -> CompressRequest:
    """Read the command line.

    Raises:
        RaynasError: if an option or a name is unknown, missing, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    argv = with_model(argv)
    tokens = expand(argv)
    names = chosen(tokens, ("strategy", "early_stopping"))
    options = _parser(names, texts_in(flags_in_files(argv, typed(argv)))).parse(tokens)
    usage = 'raynas compress package.module:name --data NAME --constraints "macs <= 0.5 * baseline"'
    require_model_and_data(tokens, usage, "the model recovers on")
    compress = options.make(CompressOptions)
    if not compress.constraints:
        raise RaynasError('--constraints is missing: say how small, such as "macs <= 0.5 * baseline"')
    model, run = options.make(ModelFlags, "model."), options.make(RunOptions)
    split_call(str(model.name))
    return CompressRequest(
        model=model,
        compress=compress,
        effort=options.make(Effort),
        run=run if run.name is not None else replace(run, name=_name(names, str(model.name), options)),
        latency=options.make(LatencyOptions, "latency."),
        repeats=options.make(RepeatOptions, "repeats."),
        names=names,
        options=options,
        text=options.as_yaml(tokens),
    )


def _parser(names: Mapping[str, str], in_files: Mapping[str, str]) -> OptionParser:
    parser = OptionParser(
        "raynas compress",
        "MODEL --data NAME --constraints LIMIT ... [OPTIONS]",
        "Make a trained model smaller or faster, and keep what it can do. Members of the model's space within the "
        "limits are scored with inherited weights, the best are trained to predict what the model predicts, and the "
        "best after that is exported. MODEL is package.module:name. Run the same command again to resume.",
        EXAMPLES,
        in_files=in_files,
        common=[
            *("model.weights", "model.input", "model.vary", "model.keep"),
            *("trainable.data", "trainable.outputs", "trainable.teacher", "trainable.epochs"),
            *(option.name for option in describe(CompressOptions).options),
            *(option.name for option in describe(Effort).options),
            *("strategy.name", "early_stopping.name", "name", "results", "max_concurrent"),
        ],
    )
    parser.add_fields("compression", CompressOptions)
    parser.add_fields("a model of yours", ModelFlags, "model.")
    parser.add_entry("trainable", "distil", choose=False)
    parser.add_fields("effort", Effort)
    parser.add_entry("strategy", names["strategy"])
    parser.add_entry("early_stopping", names["early_stopping"])
    parser.add_fields("latency", LatencyOptions, "latency.")
    parser.add_fields("repeats", RepeatOptions, "repeats.")
    parser.add_fields("run", RunOptions)
    return parser


def _name(names: Mapping[str, str], model: str, options: Parsed) -> str:
    """Return the name of the folder: larger numbers of members continue in it."""
    numbers = {item.name for item in fields(Effort)} | {"export", "formats"}
    changed = {key: value for key, value in options.changed.items() if key not in numbers}
    by = "compressed" if names["strategy"] == "auto" else f"compressed-{names['strategy']}"
    return search_name({"space": model, "strategy": by}, changed)
