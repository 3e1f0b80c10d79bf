"""Failures that spoil a process are told from those that are the trial's alone."""

from typing import Any

import pytest

from raynas.trials import trainable
from raynas.trials.sick_process import SickProcessError, is_sick, refuse_sick
from raynas.trials.trainable import ArchitectureTrainable

SICK = [
    "RuntimeError: CUDA error: device-side assert triggered",
    "epoch 3: RuntimeError: CUDA error: an illegal memory access was encountered (conv.py, line 4)",
    "AcceleratorError: CUDA error: unspecified launch failure",
    "RuntimeError: CUDA driver error: unknown error",
    "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
    "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "RuntimeError: HIP error: the operation cannot be performed in the present state",
    "RuntimeError: CUDA error: uncorrectable ECC error encountered",
]
WELL = [
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    "out of memory, a smaller batch_size or network may fit: RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
    "RuntimeError: CUDA error: out of memory",
    "the workers of data-parallel training failed: RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    "ValueError: my own error",
    "RaynasError: device 'cuda' is asked for, but this process sees no GPU",
    "",
]


@pytest.mark.parametrize("reason", SICK)
def test_sick(reason: str) -> None:
    assert is_sick(reason)
    with pytest.raises(SickProcessError, match="error"):
        refuse_sick({"failed": 1, "error": reason})
    refuse_sick({"failed": 0, "error": reason})


@pytest.mark.parametrize("reason", WELL)
def test_well(reason: str) -> None:
    assert not is_sick(reason)
    refuse_sick({"failed": 1, "error": reason})


@pytest.mark.parametrize(("reason", "ends"), [(SICK[0], True), (WELL[0], False)])
def test_the_actor_of_a_sick_process_raises_and_ends(reason: str, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Runner:
        class progress:
            traceback = ""

        def step(self) -> dict[str, Any]:
            return {"failed": 1, "error": reason, "done": True}

    ended: list[bool] = []
    monkeypatch.setattr(trainable, "end_process_soon", lambda: ended.append(True))
    actor = ArchitectureTrainable.__new__(ArchitectureTrainable)
    actor._runner, actor._written_traceback = Runner(), ""  # type: ignore[assignment]
    if ends:
        with pytest.raises(SickProcessError):
            actor.step()
    else:
        assert actor.step()["failed"] == 1
    assert bool(ended) == ends
