"""The command line of ``raynas convert``, read without the classes that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from raynas.cli.describe import describe
from raynas.cli.flags import expand, flags_in_files, last_value, texts_in, typed
from raynas.cli.model_options import ModelFlags, ProfileFlags
from raynas.cli.parser import OptionParser
from raynas.errors import RaynasError
from raynas.user_code import split_call

EXAMPLES = """\
examples:
  raynas convert torchvision.models:resnet18 --input 3x224x224
  raynas convert my_net:Net --input 1x28x28 --profile --constraints "latency_ms <= 0.5 * baseline"
  raynas convert my_net:make_bert --input ids=128:long:30000 mask=128:bool --keep embeddings
  raynas convert my_net:net --input my_net:batch --vary "blocks=depth:6,12" "blocks.*.mlp.*=width:0.5,0.75" """


@dataclass(frozen=True, kw_only=True)
class ConvertRequest:
    """The options of a conversion.

    Args:
        model: the model, and what of it may vary.
        flags: what is measured.
    """

    model: ModelFlags
    flags: ProfileFlags


def read_convert(argv: Sequence[str]) -> ConvertRequest:
    """Read the command line.

    Raises:
        RaynasError: if an option is unknown, or a value cannot be read.
        SystemExit: after ``--help``.
    """
    if argv and not argv[0].startswith("-"):
        argv = [f"--model={argv[0]}", *argv[1:]]
    parser = OptionParser(
        "raynas convert",
        "MODEL --input SHAPE ... [OPTIONS]",
        "Show what of a model of yours can vary, and what its smaller relatives cost. MODEL is package.module:name of "
        "an nn.Module, or of a class or function that makes it. raynas search takes the same options, in Python "
        "raynas.convert(model, example_inputs) gives the search space.",
        EXAMPLES.rstrip(),
        in_files=texts_in(flags_in_files(argv, typed(argv))),
        common=[
            *(f"model.{o.name}" for o in describe(ModelFlags).options),
            *(o.name for o in describe(ProfileFlags).options),
        ],
    )
    parser.add_fields("conversion", ModelFlags, "model.")
    parser.add_fields("profile", ProfileFlags)
    tokens = expand(argv)
    options = parser.parse(tokens)
    if last_value(tokens, "model.name") is None:
        raise RaynasError("give the model first: raynas convert package.module:name --input 3x224x224; see --help")
    model = options.make(ModelFlags, "model.")
    split_call(str(model.name))
    return ConvertRequest(model=model, flags=options.make(ProfileFlags))
