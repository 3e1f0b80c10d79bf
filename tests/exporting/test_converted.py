"""Members of converted models are exported as other networks are; an export trains as the network in raynas does."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import raynas
from raynas.core.inputs import Arguments
from raynas.exporting.verification import Expected, verify
from raynas.metrics.cost import count_macs, count_params
from raynas.nn.supernet import Supernet
from scripts.bench.train_alone import Task, train, train_alone
from tests.converting.test_conversion import converted
from tests.exporting import models
from tests.exporting.test_network import PROGRAMS, exported
from tests.exporting.test_source import first, small

Networks = dict[str, tuple[nn.Module, Arguments]]


@cache
def members() -> Networks:
    """A residual network, a transformer, one with fewer blocks, and a subnet of a trained supernet."""
    found = {}
    for name, kind, rows in (("resnet", "resnet", False), ("transformer", "fused", False), ("shallow", "torch", True)):
        _, example, space = converted(kind)
        depths = space.plan.depths
        chosen = {d: o for d, o in space.smallest.items() if (d in depths) is rows}
        found[name] = (space.build(space.canonical({**space.default, **chosen})), example)
    _, example, space = converted("resnet")
    supernet = Supernet(space).train()
    before = supernet.extract(space.smallest).state_dict()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05)
    for seed in range(3):
        optimizer.zero_grad()
        supernet(example, space.sample(np.random.default_rng(seed))).square().mean().backward()
        optimizer.step()
    subnet = supernet.extract(space.smallest)
    assert not torch.equal(subnet.state_dict()["head.weight"], before["head.weight"])
    found["subnet"] = (subnet, example)
    return found


def test_members_have_what_they_are_tested_for() -> None:
    sizes = {name: count_params(model) for name, (model, _) in members().items()}
    whole = {name: count_params(converted(kind)[0]) for name, kind in (("resnet", "resnet"), ("transformer", "fused"))}
    assert sizes["resnet"] < whole["resnet"] and sizes["transformer"] < whole["transformer"]
    shallow, _ = members()["shallow"]
    assert len(shallow.get_submodule("body.layers")) == 1  # type: ignore[arg-type]  # of 2


def test_members_are_verified_without_raynas(tmp_path: Path) -> None:
    expected = []
    for name, (model, inputs) in members().items():
        result = exported(model.eval(), inputs, tmp_path / name)
        assert "model.py" in result.files, result
        expected.append(
            Expected(tmp_path / name, result.files, model, inputs, count_params(model), count_macs(model, inputs))
        )
    assert [set(report) for report in verify(expected)] == [{"model.py"}] * len(expected)


def test_a_member_in_every_format(tmp_path: Path) -> None:
    model, inputs = members()["resnet"]
    assert set(raynas.export(model, inputs, tmp_path / "net").report) == PROGRAMS


def test_an_export_trains_an_epoch_to_the_same_loss_without_raynas(tmp_path: Path) -> None:
    """Of a catalogue's space, a space of a user, converted models and a trained supernet."""
    networks: Networks = dict(members())
    for name, space in (("cnn", small("cnn")), ("language", models.LANGUAGE)):
        torch.manual_seed(0)
        networks[name] = (space.build(first(space)), Arguments.of(space.example(2)))
    tasks: list[Task] = []
    inside = []
    for name, (model, inputs) in networks.items():
        exported(model, inputs, tmp_path / name)
        with torch.no_grad():
            output = inputs.call(model.eval())
        logits = output if isinstance(output, Tensor) else output.logits
        shuffled = [inputs.map(lambda t, k=k: t.roll(k, 0)) for k in range(4)]  # type: ignore[misc]
        classes = torch.randint(logits.shape[-1], (4, *logits.shape[:-1]))
        batches = [(x.args, dict(x.kwargs), y) for x, y in zip(shuffled, classes, strict=True)]
        tasks.append((str(tmp_path / name), 5, batches))
        inside.append(train(model, batches, seed=5))
    assert train_alone(tasks) == inside
    assert all(losses[0] != losses[-1] for losses in inside)
