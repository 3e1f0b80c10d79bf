"""Exports: their files, their verification in a process without raynas, and what is refused."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import raynas
from raynas.core.inputs import Arguments
from raynas.errors import RaynasError, UnknownNameError
from raynas.exporting import Exported, Preprocessing, Provenance, VerificationError
from raynas.exporting.verification import Expected, verify
from raynas.metrics.cost import count_macs, count_params
from raynas.nn.programs import PACKAGES
from raynas.search_spaces import SEARCH_SPACES
from tests.exporting import models
from tests.exporting.test_source import first, small

PROGRAMS = {"model.py", "model.pt2", *(["model.onnx"] if all(map(find_spec, PACKAGES)) else [])}
"""The files that can be checked: ONNX needs packages that the lowest versions are tested without."""


def exported(model: nn.Module, inputs: Any, folder: Path, **options: Any) -> Exported:
    """The files without programs, which take seconds, and not verified unless asked for."""
    return raynas.export(model, inputs, folder, **{"formats": ["source"], "verify": False, **options})


def test_every_file_of_an_image_classifier_works_without_raynas(tmp_path: Path) -> None:
    space = small("nasbench_macro")
    arch = space.sample(np.random.default_rng(0))
    torch.manual_seed(0)
    model = space.build(arch).train()
    norm = Preprocessing(data="digits", mean=(4.5,), std=(6.0,), shape=(1, 8, 8), n_classes=10)
    about = Provenance(arch=arch, metrics={"accuracy": 0.75}, measured="Of validation.", preprocessing=norm, seed=3)
    result = raynas.export(model, space.example(1), tmp_path / "net", about=about)
    assert set(result.files) == {path.name for path in (tmp_path / "net").iterdir()}
    assert set(result.files) == PROGRAMS | {"weights.safetensors", "architecture.json", "README.md"} and model.training
    report = result.report
    assert set(report) == PROGRAMS
    assert report["model.py"]["params"] == count_params(model)
    assert report["model.py"]["macs"] == count_macs(model, (1, 8, 8))
    assert all(float(each["latency_ms"]) > 0 for each in report.values())
    assert json.loads((tmp_path / "net" / "architecture.json").read_text()) == arch.to_config()
    card = (tmp_path / "net" / "README.md").read_text()
    for part in ("| accuracy | 0.75 |", "Of validation.", "(batch, 1, 8, 8)", "seed 3", "Mean: 4.5; dev"):
        assert part in card
    run_example(card, tmp_path / "net")


def run_example(card: str, folder: Path) -> None:
    """Run the example of a card beside its files."""
    code = card.partition("```python\n")[2].partition("```")[0]
    block = "import sys; sys.modules['raynas'] = None\n"
    done = subprocess.run([sys.executable, "-c", block + code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "tensor" in done.stdout, done.stderr


def test_every_space_and_models_of_users_are_verified_without_raynas(tmp_path: Path) -> None:
    spaces = {name: small(name) for name in SEARCH_SPACES}
    spaces |= {"language": models.LANGUAGE, "siamese": models.SIAMESE}
    expected = []
    for name, space in spaces.items():
        torch.manual_seed(0)
        arch = space.sample(np.random.default_rng(0))
        model, inputs = space.build(arch).eval(), space.example(2)
        result = exported(model, inputs, tmp_path / name, about=Provenance(arch=arch))
        assert "model.py" in result.files, result
        params, macs = count_params(model), count_macs(model, space.example(1))
        expected.append(Expected(tmp_path / name, result.files, model, inputs, params, macs))
    reports = verify(expected)
    assert [set(report) for report in reports] == [{"model.py"}] * len(spaces)


def test_keywords_and_outputs_of_a_users_class(tmp_path: Path) -> None:
    model = models.LANGUAGE.build(first(models.LANGUAGE))
    ids, weights = models.LANGUAGE.example(2).args
    result = raynas.export(model, Arguments((ids,), {"weights": weights}), tmp_path / "net")
    assert set(result.report) == PROGRAMS
    run_card = (tmp_path / "net" / "README.md").read_text()
    assert "weights=torch.zeros(1, 6, dtype=torch.float32)" in run_card and "int64 of shape (batch, 6)" in run_card


def test_what_cannot_be_exported_is_left_out_with_the_reason(tmp_path: Path) -> None:
    result = raynas.export(models.Branching(), torch.rand(3, 4), tmp_path, verify=False)
    assert set(result.missing) == {"model.pt2", "model.onnx"} and "model.py" in result.files
    assert "data-dependent" in result.missing["model.pt2"] and "\n" not in result.missing["model.pt2"]
    assert "no model.pt2: torch.export cannot" in str(result)
    assert "missing: torch.export cannot" in (tmp_path / "README.md").read_text()


def test_a_missing_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raynas.nn.programs.PACKAGES", ("onnx", "onnx_of_tomorrow"))
    result = raynas.export(nn.Linear(3, 2), torch.rand(2, 3), tmp_path, formats=["onnx"], verify=False)
    assert result.missing["model.onnx"] == "it needs onnx_of_tomorrow: pip install 'raynas[export]'"


def test_only_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    model, inputs = nn.Linear(3, 2), torch.rand(2, 3)
    exported(model, inputs, tmp_path, about=Provenance(arch={"a": 1}))
    exported(model, inputs, tmp_path)
    assert not (tmp_path / "architecture.json").exists()
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(RaynasError, match="holds no export"):
        exported(model, inputs, tmp_path)
    exported(model, inputs, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_files_that_disagree_are_named(tmp_path: Path) -> None:
    model, inputs = nn.Sequential(nn.Linear(3, 2)), Arguments((torch.rand(2, 3),))
    changes = {"bias": "net[0].bias.data += 1", "raynas": "import raynas", "size": "net[0].other = nn.Linear(2, 2)"}
    expected = []
    for name, change in changes.items():
        exported(model, inputs, tmp_path / name)
        with (tmp_path / name / "model.py").open("a") as file:
            file.write(f"\n\nold = load\n\ndef load():\n    net = old()\n    {change}\n    return net\n")
        expected.append(Expected(tmp_path / name, ("model.py",), model, inputs, 8, 8))
    with pytest.raises(VerificationError) as error:
        verify(expected)
    wrong = {
        "bias": "outputs for 1 examples differ by up to 1",
        "raynas": "ModuleNotFoundError: No module named 'raynas'",
        "size": "it has 14 params, the network 8",
    }
    for name, reason in wrong.items():
        assert f"{tmp_path / name / 'model.py'}: {reason}" in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.rand(2, 7), "does not run on the example"),
        (torch.rand(0, 3), "an example or more"),
        ({}, "first dimension"),
    ],
)
def test_inputs_that_the_network_cannot_take(inputs: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=message):
        exported(nn.Linear(3, 2), inputs, tmp_path / "net")


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="onnx"):
        exported(nn.Linear(3, 2), torch.rand(2, 3), tmp_path, formats=["onx"])
