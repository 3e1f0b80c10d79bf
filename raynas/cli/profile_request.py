"""The command line of ``raynas profile``, read without the classes that it names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.describe import describe
from raynas.cli.flags import chosen, expand, flags_in_files, given, model_in, texts_in, typed
from raynas.cli.model_options import LatencyTableFlags
from raynas.cli.options import LatencyOptions
from raynas.cli.parser import OptionParser, Parsed
from raynas.errors import RaynasError

FOLDER = "latency_tables"
"""Folder of tables whose file is not given."""

SEARCHED_BY = ("table", "predictor")
"""Options of latency that make no sense for a profile."""

EXAMPLES = """\
examples:
  raynas profile --space mobilenetv3 --space.input_shape 3 96 96
  raynas profile --space nasbench201 --latency.backend onnxruntime --n_left_out 100
  raynas profile --model torchvision.models:resnet18 --input 3x224x224 --latency.device jetson
  raynas search --latency.table latency_tables/nasbench201-onnxruntime.json --constraints "latency_ms <= 5" """


@dataclass(frozen=True, kw_only=True)
class ProfileRequest:
    """The options of a profile.

    Args:
        space: the name of the space.
        options: the values of all options.
        given: the options that the user gave, by path.
        latency: how latency is measured.
        flags: see ``LatencyTableFlags``.
    """

    space: str
    options: Parsed
    given: frozenset[str]
    latency: LatencyOptions
    flags: LatencyTableFlags

    @property
    def path(self) -> Path:
        """The file of the table."""
        if self.flags.output is not None:
            return Path(self.flags.output)
        measured = self.latency.backend or (self.latency.measure and "measured") or "eager"
        name = "-".join((self.space.partition("(")[0], measured, *self.latency.device))
        return Path(FOLDER) / f"{re.sub(r'[^-.0-9A-Z_a-z]+', '_', name)}.json"


def read_profile(argv: Sequence[str]) -> ProfileRequest:
    """Read the command line.

    Raises:
        RaynasError: if an option or a name is unknown, a value cannot be read, or there are several devices.
        SystemExit: after ``--help``.
    """
    tokens = expand(argv)
    space = chosen(tokens, ["space"])["space"]
    common = [*(f"latency.{o.name}" for o in describe(LatencyOptions).options if o.name not in SEARCHED_BY)]
    parser = OptionParser(
        "raynas profile",
        "[OPTIONS]",
        "Time every operation, at every shape, that networks of a space have, and save the table: raynas search "
        "--latency.table predicts latency by it. Its error is found on whole networks. Run the same command again to "
        "resume.",
        EXAMPLES.rstrip(),
        in_files=texts_in(flags_in_files(argv, typed(argv))),
        common=["space.name", "model.name", *(o.name for o in describe(LatencyTableFlags).options), *common],
    )
    parser.add_space(space, model_in(tokens) is not None)
    parser.add_fields("latency", LatencyOptions, "latency.")
    parser.add_fields("profile", LatencyTableFlags)
    options = parser.parse(tokens)
    latency = options.make(LatencyOptions, "latency.")
    for name in SEARCHED_BY:
        if getattr(latency, name) is not None:
            raise RaynasError(f"--latency.{name} is for a search; a profile writes a table, to --output FILE")
    if len(latency.device) > 1:
        raise RaynasError(f"a table is of one device, got --latency.device {' '.join(latency.device)}: profile each")
    return ProfileRequest(
        space=space, options=options, given=given(tokens), latency=latency, flags=options.make(LatencyTableFlags)
    )
