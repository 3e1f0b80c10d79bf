"""Subnets scored with inherited weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray import cloudpickle

from raynas.data.images import ImageData
from raynas.errors import RaynasError, SpaceError, UnknownNameError
from raynas.metrics import read_goal
from raynas.nn.batch_statistics import recalibrate
from raynas.search_spaces import NASBench201
from raynas.trials import Subnet, SupernetTraining, TrainedSupernet, TrialRunner, ZeroCost
from raynas.trials.subnet import SubnetTrial
from raynas.trials.supernet.calibration import calibration_inputs
from raynas.trials.supernet.writing import write_supernet
from raynas.trials.task import Classification

SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
ARCHS = [SPACE.sample(np.random.default_rng(i)) for i in range(3)]


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainedSupernet]:
    """Shared weights after a little training."""
    settings = SupernetTraining(data="digits", data_fraction=0.3, epochs=1, valid_share=0.3, lr=0.05)
    runner = settings.runner(SPACE)
    runner.begin({"arch": {"method": "SinglePath"}})
    assert not runner.step()["failed"], runner.progress.traceback
    yield write_supernet(tmp_path_factory.mktemp("supernet"), settings.fitted(SPACE)[0], settings, runner.trial.state())


def scored(runner: TrialRunner[SubnetTrial], arch: Any) -> dict[str, Any]:
    runner.raises = True
    result: dict[str, Any] = runner.run({"arch": dict(arch)})
    return result


def test_a_score_is_that_of_the_extracted_network(supernet: TrainedSupernet) -> None:
    settings = Subnet(supernet=supernet, calibration_batches=3, batch_size=50)
    result = scored(settings.runner(SPACE, ["accuracy", "latency_ms"]), ARCHS[0])
    # By hand, on what the supernet's training says about its data.
    _, source = SupernetTraining(data="digits", data_fraction=0.3, valid_share=0.3).fitted(SPACE)
    batches = list(calibration_inputs(source, SupernetTraining(batch_size=50), 3, torch.device("cpu"))())
    network = supernet.supernet().extract(ARCHS[0])
    recalibrate(network, batches)
    assert [len(batch) for batch in batches] == [50, 50, 50]
    assert isinstance(source, ImageData)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (source.mean, source.std))
    images = (torch.tensor(source.valid.images).permute(0, 3, 1, 2).float() - mean) / std
    with torch.no_grad():
        correct = network.eval()(images).argmax(1).numpy() == source.valid.labels
    assert result["accuracy"] == pytest.approx(correct.mean(), abs=1.5 / len(correct))  # sums differ in their order
    assert result["complete"] == 1 and result["params"] > 0 and result["latency_ms"] > 0


def test_the_network_as_it_was_scored_and_a_copy(supernet: TrainedSupernet) -> None:
    settings = Subnet(supernet=supernet, calibration_batches=2, batch_size=50)
    result = scored(runner := settings.runner(SPACE), ARCHS[1])
    model = settings.trained_model(SPACE, ARCHS[1], None)
    runner.begin({"arch": dict(ARCHS[1])})
    shared = runner.trial.shared
    assert Classification().examine(model, shared.batches)["accuracy"] == result["accuracy"]
    for weight in model.parameters():
        weight.data.zero_()
    assert scored(settings.runner(SPACE), ARCHS[1])["accuracy"] == result["accuracy"]


def test_zero_cost_proxies_beside_the_score(supernet: TrainedSupernet) -> None:
    settings = Subnet(supernet=supernet, seed=2)
    result = scored(settings.runner(SPACE, ["accuracy", "snip"]), ARCHS[0])
    expected = ZeroCost(proxies=["snip"], valid_share=0.3, seed=2).evaluate(SPACE, ARCHS[0])["snip"]
    assert result["snip"] == expected == settings.costs(SPACE)["snip"](ARCHS[0])
    assert 0 <= result["accuracy"] <= 1 and "naswot" not in result
    with pytest.raises(UnknownNameError, match="unknown metric 'snap'"):
        settings.check_goal(read_goal(["accuracy", "max:snap"]))


def test_scores_do_not_depend_on_what_was_scored_before(supernet: TrainedSupernet) -> None:
    runner = Subnet(supernet=supernet).runner(SPACE)
    first = [scored(runner, arch)["loss"] for arch in ARCHS]
    again = [scored(runner, arch)["loss"] for arch in reversed(ARCHS)]
    assert first == again[::-1] and len(set(first)) > 1


def test_weights_are_shared_memory_and_stay_as_they_are(supernet: TrainedSupernet) -> None:
    runner = Subnet(supernet=supernet).runner(SPACE)
    runner.begin({"arch": dict(ARCHS[0])})
    shared = runner.trial.shared
    for array in shared.weights.values():
        array.flags.writeable = False  # as in the object store
    before = {name: array.copy() for name, array in shared.weights.items()}
    for arch in ARCHS:
        scored(runner, arch)
    assert all(np.array_equal(before[name], array) for name, array in shared.weights.items())
    parameters = dict(shared.supernet.named_parameters())
    assert all(t.data_ptr() == shared.weights[n].__array_interface__["data"][0] for n, t in parameters.items())


def test_only_arrays_travel(supernet: TrainedSupernet) -> None:
    runner = Subnet(supernet=supernet).runner(SPACE)
    runner.begin({"arch": dict(ARCHS[0])})
    runner.step()
    shared = runner.trial.shared
    runner.release()
    buffers: list[Any] = []
    cloudpickle.dumps(runner, protocol=5, buffer_callback=buffers.append)
    out_of_band = sum(buffer.raw().nbytes for buffer in buffers)
    assert out_of_band >= sum(array.nbytes for array in shared.weights.values())
    made_here = {"supernet", "batches", "calibration"}
    assert made_here <= vars(shared).keys()
    assert not made_here & vars(cloudpickle.loads(cloudpickle.dumps(shared))).keys()


def test_the_weights_name_a_search_not_their_place(supernet: TrainedSupernet, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in supernet.path.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    first, second = (Subnet(supernet=str(path)).description for path in (supernet.path, moved))
    assert first == second == f"Subnet(supernet='{supernet.digest}')"
    assert Subnet(supernet=supernet, bulk=0).description == first


def test_another_space(supernet: TrainedSupernet) -> None:
    with pytest.raises(SpaceError, match="supernet of another space"):
        Subnet(supernet=supernet).runner(NASBench201(channels=8, cells=1, input_shape=(1, 8, 8)))


def test_no_supernet(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="holds no trained supernet"):
        Subnet(supernet=str(tmp_path)).runner(SPACE)


def test_nothing_is_trained_so_there_are_no_hyperparameters(supernet: TrainedSupernet) -> None:
    settings = Subnet(supernet=supernet)
    with pytest.raises(UnknownNameError, match="'lr'"):
        settings.check_hyperparameters(["lr"])
    assert "lr" in settings.runner(SPACE).run({"arch": dict(ARCHS[0]), "lr": 0.1})["error"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"supernet": None}, "supernet must be a folder, got None"),
        ({"bulk": -1}, "bulk must be a whole number of at least 0, got -1"),
        ({"calibration_batches": 0}, "calibration_batches must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_settings(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Subnet(**{"supernet": "x", **change})


def test_a_subnet_is_exported_as_it_was_scored(supernet: TrainedSupernet, tmp_path: Path) -> None:
    done = supernet.export(ARCHS[1], tmp_path / "net", verify=False, formats=["source"])
    space: dict[str, Any] = {"__file__": str(tmp_path / "net" / "model.py"), "__name__": "exported"}
    exec((tmp_path / "net" / "model.py").read_text(), space)
    settings = Subnet(supernet=supernet)
    result = scored(runner := settings.runner(SPACE), ARCHS[1])
    runner.begin({"arch": dict(ARCHS[1])})
    network = space["load"]()
    assert Classification().examine(network, runner.trial.shared.batches)["accuracy"] == result["accuracy"]
    card = (tmp_path / "net" / "README.md").read_text()
    assert f"| accuracy | {result['accuracy']:.4g} |" in card and "inherited from a supernet" in card
    images = supernet_images(settings)
    assert torch.allclose(space["preprocess"](images), normalised(settings)) and "model.py" in done.files


def supernet_images(settings: Subnet) -> torch.Tensor:
    """Pixels of the validation split as they are stored."""
    source = settings.source_of_trials()
    return torch.from_numpy(source.valid.images[:5])  # type: ignore[attr-defined]


def normalised(settings: Subnet) -> torch.Tensor:
    """The same images as networks get them."""
    batches = settings.data_settings().batches(settings.source_of_trials(), torch.device("cpu"))
    inputs, _ = next(iter(batches.examine("valid")))
    return inputs[:5]  # type: ignore[no-any-return]
