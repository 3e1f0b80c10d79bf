"""The benchmark of mined fronts, at its smallest."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import raynas
from raynas.converting import Width
from scripts.bench.mined_front import Compute, Noisy, data, main, of_share, resnet, spread, volume


def test_it_runs_small_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--networks", "transformer", "--results", str(tmp_path)]
    main(command)
    told = capsys.readouterr().out
    row = json.loads((tmp_path / "transformer_0.json").read_text())
    assert row["members"] == 8 and len(row["accuracy_recovered"]) == len(row["mined"]["points"]) + 1
    assert row["spent"] > 0 and row["separate"]["2"]["epochs"] >= 1 and "| transformer | mined | 1 |" in told
    main(command)
    assert capsys.readouterr().out == told == (tmp_path / "mined_front.md").read_text()


def test_compute_and_hypervolume() -> None:
    torch.manual_seed(0)
    space = raynas.convert(resnet(), torch.rand(2, 1, 8, 8), vary={"*": Width(0.25, 0.5, 0.75, 1.0)}, divisor=1)
    compute = Compute(space)
    assert compute.of(space.largest) == 1 and compute.of_training([space.largest, space.largest]) == 7
    shares = [compute.of(of_share(space, compute, share)) for share in (0.1, 0.3, 0.6, 1.0)]
    assert shares == sorted(shares) and shares[-1] == 1
    assert volume([(1.0, 0.1)], 0.1) == pytest.approx(100) and volume([(1.0, 1.0)], 0.1) < 0.1
    assert volume([(0.5, 0.1), (1.0, np.sqrt(0.1))], 0.1) == pytest.approx(75, abs=0.1)
    assert spread(list("abcde"), 3) == ["a", "c", "e"] and spread([1], 3) == [1]


def test_noise_is_new_in_each_epoch_and_held_out_images_stay() -> None:
    torch.manual_seed(0)
    (first, _), (second, _) = (next(iter(Noisy())) for _ in range(2))
    assert first.shape == (64, 1, 8, 8) and not torch.equal(first, second) and len(list(Noisy())) == len(Noisy())
    _, valid, test = data()
    assert len(valid) == 400 and len(test) == 800 and torch.equal(valid.tensors[0], data()[1].tensors[0])
