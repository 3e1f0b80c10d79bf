"""Settings of trials."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from raynas.errors import RaynasError, UnknownNameError
from raynas.trials import Function, Training
from raynas.trials.settings import refuse_all


def test_the_description_holds_what_scores_depend_on() -> None:
    assert Training(n_threads=2, device="cpu").description == "Training()"
    assert Training(lr=0.2, scale={"channels": 4}).description == "Training(lr=0.2, scale={'channels': 4})"


def test_resources_follow_from_threads_and_device() -> None:
    assert Training(device="cpu", n_threads=3).resources == {"cpu": 3}
    assert Training(device="cuda", gpus=0.5).resources == {"cpu": 1, "gpu": 0.5}


def a_function(model: nn.Module, config: dict[str, Any]) -> float:
    return 0.5


def test_the_description_holds_no_address() -> None:
    assert Function(fn=a_function).description == f"Function(fn='{__name__}:a_function')"
    assert "0x" not in Function(fn=partial(a_function, config={})).description


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Training().torch_device == Training(device="cpu").torch_device == torch.device("cpu")
    with pytest.raises(RaynasError, match="device 'cuda' is asked for, but this process sees no GPU"):
        _ = Training(device="cuda").torch_device


def test_any_name_is_refused() -> None:
    refuse_all("hyperparameter of a table", ())
    with pytest.raises(UnknownNameError, match="unknown hyperparameter of a table 'lr'"):
        refuse_all("hyperparameter of a table", ["lr"])
