"""Check of exported files in a process that has no raynas; run as a script, it needs torch, and onnxruntime for ONNX.

    python standalone.py FOLDER...

Each folder holds ``expected.pt``: where the exported files are, inputs, and outputs of the network that was exported.
The last line of the output is a report in JSON.
"""

import contextlib
import copy
import dataclasses
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

EXPECTED = "expected.pt"
TOLERANCE, TOLERANCE_ONNX = 1e-5, 1e-4
N_RUNS, MAX_SECONDS = 50, 0.2


class Disagreement(Exception):
    """A file does not do what the exported network does."""


class WithoutRaynas:
    """Refuses to import raynas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse it; leave everything else to the others."""
        if name.partition(".")[0] == "raynas":
            raise ModuleNotFoundError("No module named 'raynas': an exported file must not need it", name=name)


def leaves(value: object) -> Iterator[Tensor]:
    """Yield the tensors of an output, in order: of lists, tuples, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))


def compare(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Compare outputs: the largest difference, relative to the largest value where that is above 1.

    Raises:
        Disagreement: if they differ by more than the tolerance.
    """
    if [tuple(t.shape) for t in found] != [tuple(t.shape) for t in expected]:
        shapes = " instead of ".join(str([tuple(t.shape) for t in tensors]) for tensors in (found, expected))
        raise Disagreement(f"outputs have the shapes {shapes}")
    for first, second in zip(found, expected, strict=True):
        scale = max(1.0, float(second.abs().max())) if second.numel() and second.is_floating_point() else 1.0
        if not torch.allclose(first.double(), second.double(), rtol=0, atol=tolerance * scale, equal_nan=True):
            gap = float((first.double() - second.double()).abs().max())
            raise Disagreement(f"outputs for {len(first) if first.ndim else 1} examples differ by up to {gap:.2g}")


class Counter(TorchDispatchMode):
    """Counts multiply-adds by the formulas of torch's flop counter, and one for each output of a layer with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.macs: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation and run it."""
        result = func(*args, **(kwargs or {}))
        operation, aten = func.overloadpacket, torch.ops.aten
        if operation in flop_registry:
            self.macs += int(flop_registry[operation](*args, **(kwargs or {}), out_val=result)) // 2
            place = {aten.addmm: 0, aten.baddbmm: 0, aten.convolution: 2}.get(operation)
            self.macs += result.numel() if place is not None and args[place] is not None else 0
        return result


def count_macs(network: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Count the multiply-adds of a call in eval mode."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        unfused = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
        with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), unfused, Counter() as counter:
            network(*args, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    macs: int = counter.macs
    return macs


def counts_of_macs(network: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[int]:
    """Yield the multiply-adds counted without values, if that works, and with values.

    Recurrent layers are other operations with values than without.
    """
    bare = copy.deepcopy(network).to("meta")
    inputs = [tree_map_only(Tensor, lambda tensor: tensor.to("meta"), given) for given in (args, kwargs)]
    with contextlib.suppress(Exception), torch.device("meta"):
        yield count_macs(bare, *inputs)
    yield count_macs(network, args, kwargs)


def median_ms(run: Callable[[], object]) -> float:
    """Return the median time of a call."""
    times: list[float] = []
    run()
    while len(times) < 5 or (len(times) < N_RUNS and sum(times) < MAX_SECONDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def check_source(path: Path, expected: Mapping[str, Any]) -> dict[str, float]:
    """Check ``model.py`` with the weights beside it: outputs, parameters, multiply-adds; measure the latency."""
    spec = importlib.util.spec_from_file_location(f"exported_{abs(hash(path))}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        network = module.load()
    finally:
        del sys.modules[spec.name]
    found = _compare_all(network, expected, TOLERANCE)
    found["params"] = sum(parameter.numel() for parameter in network.parameters())
    counts = list(counts_of_macs(network, *expected["one"]))
    found["macs"] = expected["macs"] if expected["macs"] in counts else counts[0]
    for name in ("params", "macs"):
        if expected[name] is not None and found[name] != expected[name]:
            raise Disagreement(f"it has {found[name]:,.0f} {name}, the network {expected[name]:,.0f}")
    return found


def check_program(path: Path, expected: Mapping[str, Any]) -> dict[str, float]:
    """Check ``model.pt2``."""
    return _compare_all(torch.export.load(path).module(), expected, TOLERANCE)


def check_onnx(path: Path, expected: Mapping[str, Any]) -> dict[str, float]:
    """Check ``model.onnx`` with ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*args: Any, **kwargs: Any) -> list[Tensor]:
        tensors = [*leaves(args), *(tensor for value in kwargs.values() for tensor in leaves(value))]
        feed = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, feed)]

    return _compare_all(run, expected, TOLERANCE_ONNX)


CHECKS = {"model.py": check_source, "model.pt2": check_program, "model.onnx": check_onnx}


def _compare_all(network: Callable[..., Any], expected: Mapping[str, Any], tolerance: float) -> dict[str, float]:
    for (args, kwargs), outputs in zip(expected["inputs"], expected["outputs"], strict=True):
        with torch.no_grad():
            compare(list(leaves(network(*args, **kwargs))), outputs, tolerance)
    args, kwargs = expected["one"]
    with torch.no_grad():
        return {"latency_ms": median_ms(lambda: network(*args, **kwargs))}


def check(expected: Mapping[str, Any]) -> dict[str, dict[str, float | str]]:
    """Check the files of an export.

    Returns:
        For each file what was measured, or under "error" what is wrong with it.
    """
    report: dict[str, dict[str, float | str]] = {}
    for name in expected["files"]:
        if name not in CHECKS:
            continue
        try:
            report[name] = dict(CHECKS[name](Path(expected["directory"]) / name, expected))
        except Exception as error:
            kind = "" if isinstance(error, Disagreement) else f"{type(error).__name__}: "
            report[name] = {"error": " ".join(f"{kind}{error}".split())[:400]}
    return report


def main(folders: list[str]) -> None:
    """Check the exports that the folders describe, and print a report for each in one line of JSON."""
    sys.meta_path.insert(0, WithoutRaynas())
    torch.set_num_threads(1)
    print(json.dumps([check(torch.load(Path(folder) / EXPECTED, weights_only=True)) for folder in folders]))


if __name__ == "__main__":
    main(sys.argv[1:])
