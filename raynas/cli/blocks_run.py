"""A library of blocks from the command line, from its options to the exported assembly."""

from dataclasses import replace

from rich.console import Console
from torch import nn

from raynas.cli.answers import AssemblyAnswer, BlocksAnswer
from raynas.cli.blocks_request import BlocksRequest
from raynas.cli.model_options import ModelFlags
from raynas.cli.model_reading import read_inputs, read_model
from raynas.cli.search_command import load_metrics
from raynas.cli.spaces import known_from
from raynas.cli.terminal import Interrupted, say, shown
from raynas.compressing.assembling import Assembly, BlockLibrary, block_library
from raynas.compressing.assembling.alternatives import DEFAULT_ALTERNATIVES
from raynas.core.inputs import make_example
from raynas.exporting import Provenance, export
from raynas.run.cluster import start_ray
from raynas.trials import Distillation

EXPORT = "export"
"""Folder of the files, inside that of the library."""


def run_blocks(request: BlocksRequest, console: Console) -> BlocksAnswer:
    """Make a library of blocks, and print and export the best assembly.

    Raises:
        InfeasibleError: if there is no assembly within the limits.
        Interrupted: if it was.
        RaynasError: if the model, the data and the options do not fit together.
    """
    flags = request.flags
    training = Distillation(**request.options.fields_of("trainable", "distil"))
    source = training.load_source()
    given = request.model
    model = read_model(ModelFlags(**vars(given)), known_from(source))
    example, inputs = read_inputs(given.input) if given.input else (make_example(source.inputs, 2), source.inputs)
    if flags.address is not None:
        start_ray(flags.address)
    try:
        library = block_library(
            model.eval(),
            example,
            training,
            request.path,
            alternatives=flags.alternatives or DEFAULT_ALTERNATIVES,
            blocks=flags.blocks or None,
            metrics=load_metrics(flags.metrics),
            inputs=inputs,
            workers=flags.workers,
            on_progress=lambda line: say(line, console),
        )
    except KeyboardInterrupt:
        raise Interrupted(f"what is finished is in {shown(request.path)}") from None
    say(f"\n{library}\n", console)
    found = library.assemble(*flags.constraints, n=flags.assemblies, objective=flags.objective)
    for assembly in found:
        say(str(assembly), console)
    answer = BlocksAnswer(folder=str(request.path), given={**library.given.scores, **library.given.costs})
    answer.assemblies = [AssemblyAnswer(choices=each.choices, predicted=each.amounts) for each in found]
    network, answer.best, scores = _best(request, library, found, training)
    answer.scores = scores
    say("\nbest: " + ", ".join(f"{name} {value:.6g}" for name, value in scores.items()), console)
    if flags.export:
        about = Provenance(
            arch=library.space.of(answer.best),
            metrics=scores,
            measured=f"Scores are those on the validation split of {training.data}.",
            seed=training.seed,
        )
        done = export(network, example, request.path / EXPORT, about=about, overwrite=True)
        answer.files = [str(done.directory / name) for name in done.files]
        say(f"{', '.join(done.files)} in {shown(done.directory)}; checked without raynas", console)
    return answer


def _best(
    request: BlocksRequest, library: BlockLibrary, found: list[Assembly], training: Distillation
) -> tuple[nn.Module, dict[str, str], dict[str, float]]:
    """Return the best network by its true scores, after training or else as they are, its choices and these scores."""
    flags = request.flags
    if not flags.recover:
        if flags.objective not in library.given.scores:  # a cost, by which the first is best
            return found[0].build(), found[0].choices, library.scored(found[0])
        assembly, scores = library.best_of(found, flags.objective)
        return assembly.build(), assembly.choices, scores
    settings = replace(training, epochs=flags.recover)
    result = library.recover(found, settings, objective=flags.objective, progress=False)
    if result.interrupted:
        raise Interrupted(f"{len(result.evaluations)} of {len(found)} assemblies are recovered")
    best = result.best()
    choices = next(each.choices for each in found if each.arch == best.arch)
    return result.best_model(), choices, {n: v for n, v in best.metrics.items() if n in library.given.scores}
