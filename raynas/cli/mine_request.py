"""The command line of ``raynas mine``, read without the classes that it names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.describe import describe
from raynas.cli.flags import expand, flags_in_files, texts_in, typed
from raynas.cli.model_options import ModelFlags
from raynas.cli.of_model import folder_of, require_model_and_data, with_model
from raynas.cli.options import check_name
from raynas.cli.parser import OptionParser, Parsed
from raynas.errors import UnknownNameError
from raynas.user_code import split_call
from raynas.validate import require_whole

METHODS = ("fair", "progressive_shrinking", "sandwich", "single_path")
"""Methods that train the shared weights by any targets."""

EXAMPLES = """\
examples:
  raynas mine my_net:net --weights net.safetensors --data folder:photos --objectives divergence latency_ms
  raynas mine my_net:gpt --input 64:long:128 --data my_data:loaders --constraints "macs <= 0.6 * baseline"
  raynas mine torchvision.models:resnet18 --data cifar10 --vary "*=width:0.25,0.5,0.75" --epochs 20 --recover 5"""


@dataclass(frozen=True, kw_only=True)
class MineFlags:
    """The training of the shared weights, and the members that are scored.

    Args:
        sharing: method that trains the shared weights: sandwich, progressive_shrinking, single_path or fair.
        objectives: metrics that span the front: scores such as divergence, agreement or accuracy, and costs such as
            macs or latency_ms.
        constraints: limits, each in quotes: "macs <= 0.6 * baseline"; the baseline is the model.
        metrics: metrics to measure besides.
        members: number of members that are scored.
        recovered: number of members that are trained further, most of them along the front.
        recover: epochs of their training; by default a quarter of --epochs.
        export: write the recovered networks of the front to files that run without raynas, and check them.
        max_concurrent: largest number of actors; by default as many as the cluster has room for.
        name: name of the folder; by default made of the model and the data.
        results: folder that holds it; on a cluster, one that every node sees.
        address: of a running Ray cluster, e.g. auto; by default RAY_ADDRESS, or Ray is started on this machine.

    Raises:
        SettingError: if a number is too small, or the name cannot be a folder's.
        UnknownNameError: if there is no such method.
    """

    sharing: str = "sandwich"
    objectives: tuple[str, ...] = ("divergence", "macs")
    constraints: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    members: int = 2000
    recovered: int = 12
    recover: int | None = None
    export: bool = False
    max_concurrent: int | None = None
    name: str | None = None
    results: str = "results"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.sharing not in METHODS:
            raise UnknownNameError("method of sharing", self.sharing, METHODS)
        for name, least in (("members", 1), ("recovered", 0), ("recover", 1), ("max_concurrent", 1)):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), least)
        check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class MineRequest:
    """The options of a mining, each of its type.

    Args:
        model: the given model, and what of it may vary.
        flags: see ``MineFlags``.
        options: the values of all options.
    """

    model: ModelFlags
    flags: MineFlags
    options: Parsed

    @property
    def data(self) -> str:
        """The data."""
        return str(self.options.fields_of("trainable", "distil")["data"])

    @property
    def path(self) -> Path:
        """The folder of the findings."""
        return folder_of(self.flags.results, self.flags.name, str(self.model.name), self.data, "mined")


def read_mine(argv: Sequence[str]) -> MineRequest:
    """Read the command line.

    Raises:
        RaynasError: if an option is unknown or missing, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    argv = with_model(argv)
    tokens = expand(argv)
    parser = OptionParser(
        "raynas mine",
        "MODEL --data NAME [OPTIONS]",
        "Find smaller networks for every budget from one training: all members of a trained model are fine-tuned "
        "together, thousands are scored with the weights that they inherit, and a sample is trained further, which "
        "says how far the scores can be believed. MODEL is package.module:name. Run the same command again to resume.",
        EXAMPLES,
        in_files=texts_in(flags_in_files(argv, typed(argv))),
        common=[
            *(f"model.{option.name}" for option in describe(ModelFlags).options),
            *("trainable.data", "trainable.epochs", "trainable.outputs", "trainable.label_weight", "trainable.lr"),
            *(option.name for option in describe(MineFlags).options),
        ],
    )
    parser.add_fields("a model of yours", ModelFlags, "model.")
    parser.add_entry("trainable", "distil", choose=False)
    parser.add_fields("mining", MineFlags)
    options = parser.parse(tokens)
    require_model_and_data(tokens, "raynas mine package.module:name --data NAME", "members learn from")
    model = options.make(ModelFlags, "model.")
    split_call(str(model.name))
    return MineRequest(model=model, flags=options.make(MineFlags), options=options)
