"""The bench of ranks of adapters, tiny."""

from pathlib import Path

import pytest

from scripts.bench import lora_ranks, trained_models


def test_it_compares_patterns_of_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = trained_models.GPT(width=16, depth=1, heads=2).eval()
    batches = trained_models.text_batches(trained_models.python_text(20_000), 2, 0, 2)
    monkeypatch.setattr(lora_ranks, "gpt", lambda folder, steps: trained_models.Trained(tiny, batches, batches))
    monkeypatch.setattr(lora_ranks, "legal_text", lambda: trained_models.legal_text(20_000))
    lora_ranks.main(["--folder", str(tmp_path), "--seeds", "2", "--steps", "2", "--samples", "4"])
    printed = capsys.readouterr().out
    assert "Budget of rank 2 in all 6 layers, 2 seeds" in printed
    assert all(f"| {method} |" in printed for method in lora_ranks.METHODS)
    lora_ranks.main(["--folder", str(tmp_path), "--steps", "1", "--choose-rate"])
    assert "rate 0.01: validation loss" in capsys.readouterr().out


def test_models_are_trained_once(tmp_path: Path) -> None:
    first = trained_models.gpt(tmp_path, depth=1, steps=1)
    kept = next(tmp_path.glob("gpt_*.pt")).stat().st_mtime_ns
    again = trained_models.gpt(tmp_path, depth=1, steps=1)
    assert next(tmp_path.glob("gpt_*.pt")).stat().st_mtime_ns == kept
    assert all((a == b).all() for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))
