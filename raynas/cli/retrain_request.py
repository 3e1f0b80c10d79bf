"""The command line of ``raynas retrain``, read without the classes that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.flags import chosen, expand, flags_in_files, flags_of, given, read_options, texts_in, typed
from raynas.cli.from_files import refuse_from_file
from raynas.cli.options import FROM_DATA, OutputOptions, RetrainOptions
from raynas.cli.parser import OptionParser, Parsed
from raynas.errors import RaynasError
from raynas.run.file_names import RETRAIN_SETTINGS

EXAMPLES = """\
examples:
  raynas retrain results/cnn-digits-auto/best/architecture.json
  raynas retrain my_cell.json --space nasbench201 --space.channels 16 --data cifar10 --epochs 100"""


@dataclass(frozen=True, kw_only=True)
class RetrainRequest:
    """The options of a training to the end, each of its type.

    Args:
        file: the architecture file.
        space: the name of the space.
        options: the values of all options.
        output: folder of the files.
        own: the options that the script adds.
        given: the options that the user or the settings beside the file gave, by path.
        settings: the file of settings beside the architecture, if it was used.
    """

    file: Path
    space: str
    options: Parsed
    output: Path | None
    own: OutputOptions
    given: frozenset[str]
    settings: Path | None


@dataclass(frozen=True)
class ArchitectureScript:
    """A script that takes the file of an architecture.

    Args:
        prog: its name.
        description: what it does.
        examples: end of its help.
        about_output: title of the group of options that it adds.
        common: options that ``--help`` describes, besides its own.
        own_options: the class of them; has ``output``.
    """

    prog: str
    description: str
    examples: str
    own_options: type[OutputOptions]
    about_output: str = "where"
    common: tuple[str, ...] = ("space.name", "trainable.data")


RETRAIN = ArchitectureScript(
    "raynas retrain",
    "Train a found architecture from scratch on training and validation images, and test it. Run the same command "
    f"again to resume. Defaults are the settings in {RETRAIN_SETTINGS} beside the file, if it is there.",
    EXAMPLES,
    OutputOptions,
    common=("space.name", "trainable.data", "trainable.epochs"),
)


def read_retrain(argv: Sequence[str]) -> RetrainRequest:
    """Read the command line of a training to the end; see ``read_architecture_script``."""
    return read_architecture_script(argv, RETRAIN)


def read_architecture_script(argv: Sequence[str], script: ArchitectureScript) -> RetrainRequest:
    """Read a command line; settings that the search left beside the file, or a folder above, are the defaults.

    Raises:
        RaynasError: if an option or a name is unknown, or a value cannot be read.
        ValueError: if a value is out of range.
        SystemExit: after ``--help``.
    """
    file, flags = (Path(argv[0]), argv[1:]) if argv and not argv[0].startswith("-") else (None, argv)
    folders = [] if file is None or any(t.startswith("--config") for t in flags) else [file.parent, file.parent.parent]
    settings = next((path for folder in folders if (path := folder / RETRAIN_SETTINGS).is_file()), None)
    asked = expand(flags)
    left = _settings(settings, asked)
    tokens = [*left, *asked]
    space = chosen(tokens, ["space"])["space"]
    options = _parser(script, space, texts_in([*left, *flags_in_files(flags, typed(flags))])).parse(tokens)
    if file is None:
        raise RaynasError(f"give the architecture file first: {script.prog} ARCHITECTURE.json [OPTIONS]; see --help")
    own = options.make(script.own_options)
    return RetrainRequest(
        file=file,
        space=space,
        options=options,
        output=Path(own.output) if own.output else None,
        own=own,
        given=given(tokens),
        settings=settings,
    )


def _parser(script: ArchitectureScript, space: str, in_files: Mapping[str, str]) -> OptionParser:
    usage = "ARCHITECTURE.json [OPTIONS]"
    common = (*vars(script.own_options()), *script.common)
    parser = OptionParser(script.prog, usage, script.description, script.examples, FROM_DATA, in_files, common)
    parser.add_entry("space", space)
    parser.add_entry("trainable", "train", {"epochs": RetrainOptions().epochs}, choose=False)
    parser.add_fields(script.about_output, script.own_options)
    return parser


def _settings(path: Path | None, asked: Sequence[str]) -> list[str]:
    """Return the settings beside an architecture as flags, without those of its space if another was asked for.

    Raises:
        RaynasError: if they are more than plain values: nobody asked for this file.
    """
    if path is None:
        return []
    options = read_options(path)
    if "space.name" in given(asked) and chosen(asked, ["space"]) != chosen(flags_of(options), ["space"]):
        options.pop("space", None)
    tokens = flags_of(options)
    refuse_from_file(path, tokens, asked)
    return tokens
