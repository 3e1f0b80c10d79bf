"""The command line of ``raynas retrain``, read without the classes that it names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.flags import (
    chosen,
    expand,
    flags_in_files,
    flags_of,
    given,
    last_value,
    model_in,
    read_options,
    texts_in,
    typed,
)
from raynas.cli.from_files import refuse_from_file
from raynas.cli.options import FROM_DATA, OutputOptions, RetrainOptions, names_code
from raynas.cli.parser import OptionParser, Parsed
from raynas.errors import RaynasError
from raynas.run.file_names import RETRAIN_SETTINGS

EXAMPLES = """\
examples:
  raynas retrain results/cnn-digits-auto/best/architecture.json
  raynas retrain results/mine/best/architecture.json --model my_net:Net
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
    common: tuple[str, ...] = ("space.name", "model.name", "trainable.data")


RETRAIN = ArchitectureScript(
    "raynas retrain",
    "Train a found architecture from scratch on training and validation images, and test it. Run the same command "
    f"again to resume. Defaults are the settings in {RETRAIN_SETTINGS} beside the file, if it is there.",
    EXAMPLES,
    OutputOptions,
    common=("space.name", "model.name", "trainable.data", "trainable.epochs"),
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
    own_names = vars(script.own_options())
    asked = expand(flags, own_names)
    left = _settings(settings, asked)
    tokens = [*left, *asked]
    space = chosen(tokens, ["space"])["space"]
    in_files = texts_in([*left, *flags_in_files(flags, typed(flags, own_names), own_names)])
    options = _parser(script, space, model_in(tokens) is not None, in_files).parse(tokens)
    if file is None:
        raise RaynasError(f"give the architecture file first: {script.prog} ARCHITECTURE.json [OPTIONS]; see --help")
    own = options.make(script.own_options)
    if own.fingerprint is not None and not _named(tokens):
        raise RaynasError(
            f"the search that left {file} was of a space of yours: name it, --space package.module:name, or its model, "
            "--model package.module:name"
        )
    return RetrainRequest(
        file=file,
        space=space,
        options=options,
        output=Path(own.output) if own.output else None,
        own=own,
        given=given(tokens),
        settings=settings,
    )


def _parser(script: ArchitectureScript, space: str, is_model: bool, in_files: Mapping[str, str]) -> OptionParser:
    own = vars(script.own_options())
    common = (*own, *script.common)
    parser = OptionParser(
        script.prog,
        "ARCHITECTURE.json [OPTIONS]",
        script.description,
        script.examples,
        FROM_DATA,
        in_files,
        common,
        own,
    )
    parser.add_space(space, is_model)
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
    if _asks_for_another(asked, flags_of(options)):
        for name in ("space", "model", "fingerprint"):
            options.pop(name, None)
    tokens = flags_of(options)
    refuse_from_file(path, tokens, asked)
    return tokens


def _asks_for_another(asked: Sequence[str], left: Sequence[str]) -> bool:
    """Return whether a space is asked for that is not the one of the search; of the user's, the fingerprint tells."""
    now, before = _named(asked), _named(left)
    if not now or now == before:
        return False
    if not before:
        return not names_code(now[1])
    return now[0] != before[0] or not (names_code(now[1]) and names_code(before[1]))


def _named(tokens: Sequence[str]) -> tuple[str, str] | None:
    """Return the option that names a space or a model, and its value; None if there is none."""
    found = [(option, last_value(tokens, option)) for option in ("space.name", "model.name")]
    return next(((option, value) for option, value in found if value is not None), None)
