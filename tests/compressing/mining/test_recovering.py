"""Members that are trained further from inherited weights, in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from raynas.compressing.mining import recovering
from raynas.compressing.mining.mined import belief
from raynas.compressing.mining.recovering import (
    Recovered,
    Recovery,
    folder_of,
    network_in,
    recover,
    recovered_in,
    shorter,
)
from raynas.converting import ConvertedSpace
from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.errors import RaynasError, SpaceError
from raynas.trials import Distillation, SupernetDistillation
from raynas.trials.retrain import keep_checkpoint
from raynas.trials.supernet.writing import write_supernet
from tests.trials.test_distillation import digits_space

FAST = Distillation(data="digits", epochs=2, data_fraction=0.3, warmup_epochs=0)


def recovery(space: ConvertedSpace) -> Recovery:
    return Recovery.of(FAST, space.given)


def done(space: ConvertedSpace, folder: Path, *archs: Architecture) -> list[tuple[Evaluation, bool]]:
    return list(recover(space, archs, recovery(space), folder, metrics=["divergence", "macs"], workers=0))


def test_a_finished_member_is_read_and_not_trained_again(tmp_path: Path) -> None:
    space = digits_space()
    first = done(space, tmp_path, space.smallest)
    assert first[0][1] and first[0][0].fidelity == 2 and first[0][0].metrics["macs"] > 0
    again = done(space, tmp_path, space.largest, space.smallest)
    assert [is_new for _, is_new in again] == [False, True] and again[1][0].arch == space.largest
    assert again[0][0].arch == space.smallest and again[0][0].metrics == first[0][0].metrics
    assert not list(tmp_path.glob("*/checkpoint_*"))
    network = network_in(tmp_path, space, space.smallest)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10) and not network.training


def test_what_was_interrupted_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = digits_space()
    expected = done(space, tmp_path / "whole", space.smallest)[0][0]
    n: list[Any] = []

    def killed(*args: Any) -> None:
        keep_checkpoint(*args)
        n.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(recovering, "keep_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        done(space, tmp_path / "killed", space.smallest)
    assert recovered_in(tmp_path / "killed", space.smallest) is None
    monkeypatch.undo()
    found = done(space, tmp_path / "killed", space.smallest)[0][0]
    assert len(n) == 1 and found.metrics["divergence"] == expected.metrics["divergence"]
    weights = [
        next(folder.glob("*/weights.safetensors")).read_bytes() for folder in (tmp_path / "whole", tmp_path / "killed")
    ]
    assert weights[0] == weights[1]


def test_damaged_results_are_said(tmp_path: Path) -> None:
    space = digits_space()
    done(space, tmp_path, space.smallest)
    file = tmp_path / space.smallest.key / "recovered.json"
    stored = json.loads(file.read_text())
    for content, told in (
        ("{", "is damaged"),
        (json.dumps({**stored, "arch": space.largest.to_config()}), "another member"),
    ):
        file.write_text(content)
        with pytest.raises(RaynasError, match=told):
            done(space, tmp_path, space.smallest)


def test_other_settings_and_other_weights_have_another_folder(tmp_path: Path) -> None:
    space = digits_space()
    settings = recovery(space)
    folders = {folder_of(tmp_path, settings, "a"), folder_of(tmp_path, settings, "b")}
    folders |= {folder_of(tmp_path, Recovery.of(shorter(FAST), space.given), "a")}
    assert len(folders) == 3 and folder_of(tmp_path, recovery(digits_space()), "a") in folders
    assert shorter(Distillation(epochs=10)).epochs == 3


def test_members_inherit_the_weights_of_the_supernet_and_statistics_of_their_own(tmp_path: Path) -> None:
    space = digits_space()
    settings = SupernetDistillation(data="digits", epochs=1, data_fraction=0.3, warmup_epochs=0)
    runner = settings.runner(space)
    runner.raises = True
    runner.begin({"arch": {"method": "Sandwich"}})
    runner.step()
    trained = write_supernet(tmp_path, settings.fitted(space)[0], settings, runner.trial.state())
    inherited = trained.inherited
    member, given = inherited.build(space.smallest), space.build(space.smallest)
    extracted = trained.supernet().extract(space.smallest)
    for name, weight in member.state_dict().items():
        assert torch.equal(weight, extracted.state_dict()[name])
    assert not torch.equal(member.state_dict()["0.weight"], given.state_dict()["0.weight"])
    assert inherited.fingerprint != space.fingerprint and inherited.decisions == space.decisions
    trial = recovery(space).runner(inherited, ["divergence"])
    trial.begin({"arch": dict(space.smallest)})
    own = trial.trial.trainer.model.state_dict()
    assert torch.equal(own["0.weight"], member.state_dict()["0.weight"])
    assert not torch.equal(own["1.running_mean"], member.state_dict()["1.running_mean"])


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(SpaceError, match="the weights are not those of Sequential"):
        digits_space().with_weights({"0.weight": torch.zeros(1)})


def test_belief() -> None:
    def pair(n: int, before: float, after: float, on_front: bool) -> Recovered:
        arch = Architecture({"n": n})
        return Recovered(Evaluation(arch, {"x": after}), Evaluation(arch, {"x": before}), on_front, Path())

    pairs = [pair(i, float(i), float(i if i < 4 else -i), i < 4) for i in range(6)]
    told = belief("x", pairs)
    assert told.on_front.rho == pytest.approx(1) and told.spearman.n == 6 and told.spearman.rho is not None
    assert told.spearman.rho < 0.5 and told.kendall == pytest.approx(-0.2, abs=0.15)
    assert "Spearman" in str(told) and belief("x", pairs[:2]).kendall is None
