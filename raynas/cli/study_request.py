"""The command lines of ``raynas propose`` and ``raynas observe``, read without the classes that they name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raynas.cli.describe import describe
from raynas.cli.flags import chosen, expand, flags_of, given, model_in, read_options, texts_in
from raynas.cli.from_files import refuse_from_file
from raynas.cli.options import LatencyOptions, SearchOptions
from raynas.cli.parser import OptionParser, Parsed
from raynas.errors import RaynasError
from raynas.run.file_names import ARCHIVE, OPTIONS
from raynas.validate import positive, require_whole

NOT_HERE = ("generation_size", "funnel")
"""Options of a search that its proposals do not depend on here."""

ONCE = ("warm_start",)
"""Options that only the first call needs: the archive keeps what was learned from other folders."""


@dataclass(frozen=True, kw_only=True)
class DataFlags:
    """Data that the networks are for: the sizes of a space follow from it.

    Args:
        data: see raynas search; by default the space says the sizes itself.
        data_dir: folder of the data.
    """

    data: str | None = None
    data_dir: str = "~/.cache/raynas"


@dataclass(frozen=True, kw_only=True)
class ProposeFlags:
    """Proposals.

    Args:
        n: number of architectures to propose.
        add: JSON of an architecture, or a file of it, to book for evaluation though the strategy did not propose it.
        wait: seconds to wait for another process that holds the archive.

    Raises:
        SettingError: if a number is out of range.
    """

    n: int = 1
    add: str | None = None
    wait: float = 60.0

    def __post_init__(self) -> None:
        require_whole("n", self.n, 1)
        positive("wait", self.wait)


@dataclass(frozen=True, kw_only=True)
class ObserveFlags:
    """Results.

    Args:
        trial: name of a proposed trial; it may also follow the folder.
        architecture: instead, JSON of an architecture that was evaluated elsewhere, or a file of it.
        result: metrics of the trial: --result.accuracy 0.93 --result.latency_ms 2.1.
        error: the reason, if the trial failed.
        fidelity: number of epochs of training behind the metrics.
        file: instead, a file of results, one JSON object a line; - for stdin.
        wait: seconds to wait for another process that holds the archive.

    Raises:
        SettingError: if a number is out of range.
    """

    trial: str | None = None
    architecture: str | None = None
    result: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    fidelity: int = 1
    file: str | None = None
    wait: float = 60.0

    def __post_init__(self) -> None:
        positive("wait", self.wait)


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """A call of a study.

    Args:
        path: its folder.
        names: of space and strategy.
        options: the values of all options.
        given: the options that the user, or the file in the folder, gave.
        search: objectives, constraints, number of proposals.
        latency: how latency is measured.
        data: what the sizes of the space follow from.
        flags: of the call.
        text: the options of the study as YAML; "" if they are those of a search, which stay as they are.
    """

    path: Path
    names: Mapping[str, str]
    options: Parsed
    given: frozenset[str]
    search: SearchOptions
    latency: LatencyOptions
    data: DataFlags
    flags: ProposeFlags | ObserveFlags
    text: str


PROPOSE = (
    "raynas propose",
    "RESULTS_DIR [OPTIONS]",
    "Ask a search for architectures to evaluate; raynas observe takes their results. The first call says what is "
    "searched, with the options of raynas search; the folder remembers it. A folder of raynas search will do, too.",
    """\
examples:
  raynas propose results/mine --space nasbench201 --objectives accuracy min:latency_ms --num_samples 100
  raynas propose results/mine --n 4 --json
  raynas propose results/mine --add '{"op": "conv3x3"}'   an architecture of yours, checked and booked""",
)

OBSERVE = (
    "raynas observe",
    "RESULTS_DIR [TRIAL] [OPTIONS]",
    "Book the result of an architecture that raynas propose gave, or of any other of the space.",
    """\
examples:
  raynas observe results/mine 00003 --result.accuracy 0.93 --result.latency_ms 2.1
  raynas observe results/mine 00004 --error "out of memory"
  raynas observe results/mine --architecture '{"op": "conv3x3"}' --result.accuracy 0.9
  raynas observe results/mine --file results.jsonl --json""",
)


def read_propose(argv: Sequence[str]) -> StudyRequest:
    """Read the command line of ``raynas propose``; see ``_read``."""
    return _read(argv, PROPOSE, ProposeFlags)


def read_observe(argv: Sequence[str]) -> StudyRequest:
    """Read the command line of ``raynas observe``; see ``_read``."""
    trial = [f"--trial={argv[1]}"] if len(argv) > 1 and not argv[1].startswith("-") else []
    return _read([*argv[:1], *trial, *argv[1 + len(trial) :]], OBSERVE, ObserveFlags)


def _read(
    argv: Sequence[str],
    about: tuple[str, str, str, str],
    flags: type[ProposeFlags] | type[ObserveFlags],
) -> StudyRequest:
    """Read a command line; options that the folder remembers are the defaults.

    Raises:
        RaynasError: if an option or a name is unknown, a value cannot be read, or nothing says what is searched.
        SystemExit: after ``--help``.
    """
    folder, typed = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("", argv)
    path = Path(folder).expanduser()
    asked = expand(typed)
    file = path / OPTIONS
    left, is_search = _remembered(file, asked) if folder and file.is_file() else ([], False)
    tokens = [*left, *asked]
    names = chosen(tokens, ["space", "strategy"])
    parser = OptionParser(*about, in_files=texts_in(left), common=[o.name for o in describe(flags).options])
    parser.add_fields("this call", flags)
    parser.add_fields("search", SearchOptions)
    parser.add_space(names["space"], model_in(tokens) is not None)
    parser.add_entry("strategy", names["strategy"])
    parser.add_fields("data", DataFlags, "trainable.")
    parser.add_fields("latency", LatencyOptions, "latency.")
    options = parser.parse(tokens)
    if not folder:
        raise RaynasError(f"give the folder of the search first: {about[0]} {about[1]}; see --help")
    if unused := [name for name in NOT_HERE if name in given(asked)]:
        raise RaynasError(f"--{unused[0]} is for raynas search, which runs the trials itself; leave it out")
    if not {"space.name", "model.name"} & given(tokens):
        here = f"{path} has an archive, but not its options" if (path / ARCHIVE).is_file() else f"{path} has no search"
        raise RaynasError(f"{here}: say what is searched, --space NAME or --model package.module:name")
    own_names = [o.name for o in describe(flags).options]
    return StudyRequest(
        path=path,
        names=names,
        options=options,
        given=given(tokens),
        search=options.make(SearchOptions),
        latency=options.make(LatencyOptions, "latency."),
        data=options.make(DataFlags, "trainable."),
        flags=options.make(flags),
        text="" if is_search else _text(options, tokens, own_names),
    )


def _text(options: Parsed, tokens: Sequence[str], own: Sequence[str]) -> str:
    left_out = [*own, *ONCE]
    kept = [token for token in tokens if token[2:].partition("=")[0].partition(".")[0] not in left_out]
    return options.as_yaml(kept, [*left_out, *NOT_HERE, *([] if model_in(tokens) else ["model"])])


def _remembered(file: Path, asked: Sequence[str]) -> tuple[list[str], bool]:
    """Return the options in the folder of a search that a study has too, and whether ``raynas search`` wrote them.

    Raises:
        RaynasError: if they are more than plain values, and not typed again.
    """
    known = {o.name for o in describe(SearchOptions).options} - {*NOT_HERE, *ONCE}
    data = {f"trainable.{o.name}" for o in describe(DataFlags).options}
    everything = flags_of(read_options(file))
    kept = [
        token
        for option, tokens in _grouped(everything)
        if option in {*known, *data} or option.partition(".")[0] in ("space", "model", "strategy", "latency", *known)
        for token in tokens
    ]
    refuse_from_file(file, kept, asked)
    return kept, "trainable.name" in given(everything)


def _grouped(tokens: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option with its tokens: the flag, and the values behind it."""
    group: list[str] = []
    for token in [*tokens, "--"]:
        if token.startswith("--") and group:
            yield group[0][2:].partition("=")[0], group
            group = []
        group.append(token)
