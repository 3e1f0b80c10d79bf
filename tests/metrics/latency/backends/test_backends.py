"""Every back end that is installed here runs the network that it is given; the others say what to install."""

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.errors import RaynasError, SettingError, UnknownNameError
from raynas.metrics.latency import BACKENDS, LatencySettings, backend_named, measure_latency
from raynas.metrics.latency.backends import Backend
from raynas.metrics.latency.backends.torch_backends import require_compiler
from raynas.metrics.latency.deployment import deploy

CPU = torch.device("cpu")


class TwoInputs(nn.Module):
    """An input by name, and a part that differs between training and eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.dropout = nn.Parameter(torch.rand(4, 3)), nn.Dropout(0.9)

    def forward(self, x: Tensor, *, shift: Tensor) -> Tensor:
        return torch.addmm(shift, self.dropout(x), self.weight)  # nothing to generate code for: that takes long


INPUTS = Arguments((torch.rand(2, 4),), {"shift": torch.rand(2, 3)})


def usable(backend: Backend) -> bool:
    try:
        backend.check(LatencySettings(backend=backend.name))
    except RaynasError:
        return False
    return True


def first_tensor(output: Any) -> Tensor:
    """Return the output of a run: a tensor, or a list or a mapping with an array."""
    while not hasattr(output, "shape"):
        output = next(iter(output.values() if hasattr(output, "values") else output))
    return torch.as_tensor(output)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.filterwarnings("ignore")
def test_it_runs_the_network(name: str) -> None:
    if not usable(backend_named(name)):
        pytest.skip(f"{name} is not installed")
    if name not in ("compile", "export"):
        check_run(name)
        return
    # Compilers of torch import much, also what other tests have imported in another way.
    script = f"from tests.metrics.latency.backends.test_backends import check_run; check_run({name!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


def check_run(name: str) -> None:
    """Compare the outputs of a network on a back end with those of eager PyTorch."""
    backend, model = backend_named(name), TwoInputs()
    settings = LatencySettings(backend=name, batch_size=2)
    expected = INPUTS.call(model.eval())
    model.train()
    deployment = deploy(model, INPUTS, backend.form, device=CPU, dtype=torch.float32)
    with torch.inference_mode(), backend.prepared(deployment, settings) as run:
        model.eval()  # as the measurement does
        assert torch.allclose(first_tensor(run()), expected, atol=1e-5)
    assert backend.version[0].isdigit()


def test_eager_and_onnx_runtime_measure() -> None:
    for name in ("eager", "onnxruntime"):
        ms = measure_latency(nn.Linear(3, 4), (3,), backend=name, n_runs=10)
        assert ms > 0 and ms.provenance.facts["backend"] == name


@pytest.mark.parametrize("name", ["openvino", "executorch"])
@pytest.mark.skipif(find_spec("openvino") is not None or find_spec("executorch") is not None, reason="it is installed")
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(RaynasError, match=f"back end '{name}' is not usable here: .*pip install 'raynas\\[{name}\\]'"):
        measure_latency(nn.Linear(3, 4), (3,), backend=name)


def test_a_compiler_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RaynasError, match="install g\\+\\+, or name one in the environment variable CXX"):
        require_compiler()
    with pytest.raises(RaynasError, match="back end 'compile' is not usable here: it needs a C\\+\\+ compiler"):
        measure_latency(nn.Linear(3, 4), (3,), backend="compile")


def test_devices_and_types_are_checked() -> None:
    with pytest.raises(SettingError, match="back end 'tensorrt' has device cuda, got 'cpu'"):
        measure_latency(nn.Linear(3, 4), (3,), backend="tensorrt")
    with pytest.raises(SettingError, match="back end 'onnxruntime' has dtype float32 and float16, got 'bfloat16'"):
        measure_latency(nn.Linear(3, 4), (3,), backend="onnxruntime", dtype="bfloat16")
    with pytest.raises(SettingError, match="dtype must be one of"):
        measure_latency(nn.Linear(3, 4), (3,), dtype="int8")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown latency back end 'onnx'.*onnxruntime"):
        backend_named("onnx")


def test_what_a_back_end_cannot_run_is_one_line() -> None:
    class Loops(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            while x.sum() < 9:
                x = x + 1
            return x

    with pytest.raises(RaynasError, match=r"torch\.export cannot export it") as caught:
        measure_latency(Loops(), (3,), backend="onnxruntime")
    assert "\n" not in str(caught.value)


def test_the_model_is_left_as_it_was() -> None:
    model = TwoInputs()
    deploy(model, INPUTS, "onnx", device=CPU, dtype=torch.float16)
    assert model.training and model.weight.dtype == torch.float32
