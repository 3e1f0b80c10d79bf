"""A compression on a cluster: killed and continued, compared, exported and reported."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from torch import nn

import raynas
from raynas import Compressed, Effort
from raynas.core.archive import Archive
from raynas.errors import InfeasibleError, SettingError
from raynas.metrics.cost import count_macs, count_params
from raynas.trials import Distillation
from tests import own_cluster

RECOVERY = Distillation(data="digits", epochs=2, data_fraction=0.1, warmup_epochs=0, device="cpu")
IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
EFFORT = Effort(n_scored=6, n_candidates=3, n_random=1, n_compared=1)


def model() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def compressed(folder: str | Path, **arguments: Any) -> Compressed:
    settings: dict[str, Any] = {
        "constraints": "macs <= 0.6 * baseline",
        "recovery": RECOVERY,
        "effort": EFFORT,
        "formats": (),
        "tensorboard": False,
        "progress": False,
        "max_concurrent": 1,
        "run_config": tune.RunConfig(storage_path=str(folder), name="small"),
    }
    return raynas.compress(model(), IMAGES, **{**settings, **arguments})


def test_limits_that_no_member_meets_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"no member meets the limits \(macs <= 0\.01 \* baseline: no, .* the"):
        compressed(tmp_path, constraints="macs <= 0.01 * baseline")
    with pytest.raises(SettingError, match="of which only a training gives that metric"):
        compressed(tmp_path, constraints=["macs <= 0.6 * baseline", "loss <= 0.5 * baseline"])
    with pytest.raises(SettingError, match="n_candidates must be at most n_scored"):
        Effort(n_scored=3, n_candidates=4)
    assert not (tmp_path / "small" / "1-Inherited").exists()


@pytest.mark.own_cluster
def test_a_killed_compression_becomes_what_it_would_have_been(ray_cluster: None, tmp_path: Path) -> None:
    second = tmp_path / "killed" / "small" / "2-distil" / "archive.jsonl"
    with own_cluster.running(__file__, "compressed", tmp_path / "killed") as process:
        own_cluster.wait_until(lambda: second.exists() and '"ended"' in second.read_text(), process)
    before = evaluated(second)
    found, whole = compressed(tmp_path / "killed", formats=("source",)), compressed(tmp_path / "whole")
    assert evaluated(second)[: len(before)] == before
    for name in ("1-Inherited", "2-distil", "2-distil/compared"):
        ours, other = (evaluated(tmp_path / run / "small" / name / "archive.jsonl") for run in ("killed", "whole"))
        assert ours == other and len({each[1] for each in ours}) == len(ours)
    assert found.best().arch == whole.best().arch and found.best().metrics["divergence"] >= 0

    limit = 0.6 * found.given["macs"]
    assert all(e.metrics["macs"] <= limit for e in found.recovered)
    scored, candidates = found.funnel.stages
    assert len(scored.result.full) >= 4 and len(candidates.result.evaluations) == 3
    assert found.of_uniform_width is not None and len(found.random) == 1
    assert {e.fidelity for e in found.recovered} == {2}

    network = found.best_model()
    (met,) = found.limits_met.values()
    assert met == count_macs(network, (1, 8, 8)) <= limit
    assert count_params(network) == found.best().metrics["params"]
    assert found.exported is not None and {"weights.safetensors", "model.py"} <= set(found.exported.files)
    assert set(found.on_test) == {"the given model", "the result"}

    worth = {each.name: each for each in found.worth_early()}
    assert {"divergence", "loss_increase", "weight_share", "taylor_share", "macs", "params"} <= worth.keys()
    assert worth["divergence"].spearman.n >= 3 and worth["macs"].regret >= 0
    text = (tmp_path / "killed" / "small" / "compressed.txt").read_text()
    assert text == f"{found}\n" and "uniform width" in text and "Kendall" in text
    for name in ("report.html", "report.md"):
        page = (tmp_path / "killed" / "small" / name).read_text()
        assert found.best().arch.key in page and "taylor" in page and "uniform width" in page and "Kendall" in page
        assert "Ended. Goal: minimise divergence; macs" in page
    pictures = {path.name for path in (tmp_path / "killed" / "small").glob("*.svg")}
    assert pictures == {f"network_{found.best().arch.key}.svg"}
    told = json.loads((tmp_path / "killed" / "small" / "compressed.json").read_text())
    assert told["best"]["key"] == found.best().arch.key and told["worth"][0]["score"] == "divergence"

    with pytest.raises(SettingError, match=r"holds a compression with the limits macs <= 0\.6"):
        compressed(tmp_path / "whole", constraints="macs <= 0.5 * baseline")
    longer = compressed(tmp_path / "whole", effort=Effort(**{**vars(EFFORT), "final_epochs": 3}))
    assert longer.final is not None and longer.best().fidelity == 3 and longer.best().arch == whole.best().arch


def evaluated(archive: Path) -> list[tuple[Any, ...]]:
    if not archive.exists():
        return []
    found = Archive.load(archive).evaluations
    untimed = ("train_seconds", "peak_memory_mb", "inference_memory_mb")
    return [
        (e.trial, e.arch, e.status, e.fidelity, {n: v for n, v in e.metrics.items() if n not in untimed}) for e in found
    ]
