"""The command line of ``raynas blocks``, read without the classes that it names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.describe import describe
from raynas.cli.flags import expand, flags_in_files, texts_in, typed
from raynas.cli.of_model import folder_of, require_model_and_data, with_model
from raynas.cli.options import check_name
from raynas.cli.parser import OptionParser, Parsed
from raynas.errors import SettingError
from raynas.user_code import split_call
from raynas.validate import require_whole

EXAMPLES = """\
examples:
  raynas blocks my_net:model --data folder:photos --constraints "macs <= 0.5 * baseline" "params <= 1e6"
  raynas blocks my_net:gpt --weights gpt.pt --input 64:long:128 --data my_data:loaders --alternatives width:0.5 skip
  raynas blocks my_net:Net --data cifar10 --blocks "layers.*.attention" "layers.*.mlp" --recover 5"""


@dataclass(frozen=True, kw_only=True)
class GivenModelFlags:
    """The model whose blocks are replaced.

    Args:
        name: package.module:name of an nn.Module, or of a class or function that makes it, in quotes with arguments.
        weights: file of its trained weights, safetensors or what torch.save wrote of a state_dict.
        untrained: globs of layers that the file has no weights for.
        input: what the model takes, each input as SHAPE[:TYPE[:HIGH]] without the batch, NAME=SHAPE by name, or
            package.module:function, which returns a batch of examples; by default that of the data.

    Raises:
        SettingError: if layers stay untrained, but there are no weights.
    """

    name: str | None = None
    weights: str | None = None
    untrained: tuple[str, ...] = ()
    input: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.untrained and self.weights is None:
            raise SettingError("--untrained names layers that a file of weights lacks: give the file, --weights FILE")


@dataclass(frozen=True, kw_only=True)
class BlocksFlags:
    """Alternatives to the blocks, and limits of the assemblies.

    Args:
        alternatives: modules that may take the place of a block: width:SHARE, heads:SHARE, grouped_query:HEADS,
            kernel:SIZE, linear, skip, several joined by +; by default one of each kind.
        blocks: globs of the modules that are blocks; by default the repeated members of nn.Sequential and
            nn.ModuleList.
        metrics: costs that add up over blocks, such as params, macs, size_mb, latency_ms.
        constraints: limits on costs and scores, each in quotes: "macs <= 0.5 * baseline"; the baseline is the model.
        objective: score or cost by which assemblies are chosen: divergence from the model, accuracy, loss, macs, ...
        assemblies: number of the best assemblies by sums, of which the best in truth is taken.
        recover: epochs of training of these assemblies, after which the best is chosen; 0 for none.
        export: write the best network to files that run without raynas, and check them.
        workers: largest number of actors; by default as many as the cluster has room for, 0 for this process alone.
        name: name of the library's folder; by default made of the model and the data.
        results: folder that holds it; on a cluster, one that every node sees.
        address: of a running Ray cluster, e.g. auto; by default RAY_ADDRESS, or Ray is started on this machine.

    Raises:
        SettingError: if a number is too small, or the name cannot be a folder's.
    """

    alternatives: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("params", "macs")
    constraints: tuple[str, ...] = ()
    objective: str = "divergence"
    assemblies: int = 5
    recover: int = 0
    export: bool = True
    workers: int | None = None
    name: str | None = None
    results: str = "results"
    address: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("assemblies", 1), ("recover", 0), ("workers", 0)):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), least)
        check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class BlocksRequest:
    """The options of a library of blocks, each of its type.

    Args:
        model: the given model.
        flags: see ``BlocksFlags``.
        options: the values of all options.
    """

    model: GivenModelFlags
    flags: BlocksFlags
    options: Parsed

    @property
    def data(self) -> str:
        """The data."""
        return str(self.options.fields_of("trainable", "distil")["data"])

    @property
    def path(self) -> Path:
        """The folder of the library."""
        return folder_of(self.flags.results, self.flags.name, str(self.model.name), self.data, "blocks")


def read_blocks(argv: Sequence[str]) -> BlocksRequest:
    """Read the command line.

    Raises:
        RaynasError: if an option is unknown or missing, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    argv = with_model(argv)
    tokens = expand(argv)
    parser = OptionParser(
        "raynas blocks",
        "MODEL --data NAME --constraints LIMIT ... [OPTIONS]",
        "Replace blocks of a trained model by alternatives, each trained by itself to give what its block gives, and "
        "assemble the best model within several limits by an integer programme. MODEL is package.module:name. Run the "
        "same command again to resume, also with other limits.",
        EXAMPLES,
        in_files=texts_in(flags_in_files(argv, typed(argv))),
        common=[
            *(f"model.{option.name}" for option in describe(GivenModelFlags).options),
            *("trainable.data", "trainable.epochs", "trainable.outputs"),
            *(option.name for option in describe(BlocksFlags).options),
        ],
    )
    parser.add_fields("a model of yours", GivenModelFlags, "model.")
    parser.add_entry("trainable", "distil", choose=False)
    parser.add_fields("blocks", BlocksFlags)
    options = parser.parse(tokens)
    usage = 'raynas blocks package.module:name --data NAME --constraints "macs <= 0.5 * baseline"'
    require_model_and_data(tokens, usage, "alternatives learn from")
    model = options.make(GivenModelFlags, "model.")
    split_call(str(model.name))
    return BlocksRequest(model=model, flags=options.make(BlocksFlags), options=options)
