"""The bench of members of a low rank, tiny."""

from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.bench import low_rank
from scripts.bench.trained_models import Trained


def test_it_prints_both_losses_of_each_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20)).eval()
    batches = [(torch.randn(32, 20), torch.randint(0, 20, (32,))) for _ in range(2)]
    monkeypatch.setattr(low_rank, "MODELS", {"gpt": lambda folder: Trained(model, batches, batches)})
    low_rank.main(["--folder", str(tmp_path), "--models", "gpt"])
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["1", *map(str, low_rank.SHARES)]
    assert all(len(row.split("|")) == 7 for row in rows)
