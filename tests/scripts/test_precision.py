"""The bench of precision, tiny."""

from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.bench import precision
from scripts.bench.trained_models import Trained


def test_it_prints_the_true_front_and_regrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    batches = [(torch.randn(32, 6), torch.randint(0, 3, (32,))) for _ in range(2)]
    monkeypatch.setattr(precision, "residual", lambda folder, epochs: Trained(model, batches, batches))
    monkeypatch.setattr(precision, "latency", lambda network, inputs: network.size_mb * inputs.n_examples)
    flags = ["--folder", str(tmp_path), "--tables", str(tmp_path), "--networks", "residual"]
    precision.main([*flags, "--strategies", "random", "--trials", "8", "--seeds", "1"])
    printed = capsys.readouterr().out
    assert "8 assignments to 3 layers" in printed and "Latencies of two rounds correlate by 1.00" in printed
    assert "| onnxruntime | int8_dynamic |" in printed and "| eager | bfloat16 |" in printed
    assert "| random | 8 | 0.0% (at most 0.0%) | 0.0% (at most 0.0%) | 0.0% (at most 0.0%) |" in printed
    before = (tmp_path / "residual.json").read_text()
    precision.main([*flags, "--strategies", "random", "--trials", "2", "--seeds", "1"])
    assert (tmp_path / "residual.json").read_text() == before  # nothing is measured twice
