"""A mining from the command line, from its options to the exported front."""

from dataclasses import replace

from ray import tune
from rich.console import Console

from raynas.cli.answers import MemberAnswer, MineAnswer
from raynas.cli.mine_request import MineRequest
from raynas.cli.search_command import load_metrics
from raynas.cli.spaces import GivenModel
from raynas.cli.terminal import Interrupted, say, shown
from raynas.compressing.mining import MinedFront, mine
from raynas.core.evaluation import Evaluation
from raynas.oneshot import ONESHOT
from raynas.run.cluster import start_ray
from raynas.trials import Distillation, SupernetDistillation

EXPORT = "export"
"""Folder of the files, with a folder for each network, inside that of the findings."""


def run_mine(request: MineRequest, console: Console) -> MineAnswer:
    """Mine a model, and print and export the front.

    Raises:
        InfeasibleError: if no member meets the limits.
        Interrupted: if it was.
        RaynasError: if the model, the data and the options do not fit together, or a step failed.
    """
    flags = request.flags
    fields = request.options.fields_of("trainable", "distil")
    training = SupernetDistillation(**fields, method=ONESHOT[flags.sharing]())
    recovery = Distillation(**fields)
    if flags.recover is not None:
        warmup = min(recovery.warmup_epochs, flags.recover / 4)
        recovery = replace(recovery, epochs=flags.recover, warmup_epochs=warmup)
    space = GivenModel(request.model)(None if request.model.input else training.load_source())
    if flags.address is not None:
        start_ray(flags.address)
    try:
        mined = mine(
            space,
            training,
            recovery=None if flags.recover is None else recovery,
            objectives=flags.objectives,
            constraints=flags.constraints,
            metrics=load_metrics(flags.metrics),
            members=flags.members,
            recovered=flags.recovered,
            seed=training.seed,
            max_concurrent=flags.max_concurrent,
            run_config=tune.RunConfig(name=request.path.name, storage_path=str(request.path.parent)),
        )
    except KeyboardInterrupt as error:
        raise Interrupted(f"{error}; what is finished is in {shown(request.path)}") from None
    answer = MineAnswer(
        folder=str(request.path),
        members=len(mined.members.evaluations),
        front=[_member(e) for e in mined.front],
        recovered=[_member(each.evaluation) for each in mined.recovered],
        belief={told.metric: told.spearman.rho for told in mined.belief},
    )
    if flags.export:
        answer.files = _exported(request, mined, console)
    return answer


def _exported(request: MineRequest, mined: MinedFront, console: Console) -> list[str]:
    files: list[str] = []
    for e in mined.recovered_front:
        done = mined.export(e.arch, request.path / EXPORT / e.arch.key, overwrite=True)
        files += [str(done.directory / name) for name in done.files]
        say(f"{', '.join(done.files)} in {shown(done.directory)}; checked without raynas", console)
    return files


def _member(e: Evaluation) -> MemberAnswer:
    metrics = {name: float(value) for name, value in e.metrics.items()}
    return MemberAnswer(key=e.arch.key, arch=e.arch.to_config(), metrics=metrics)
