"""Callbacks of the user's get every hook, and their errors are errors of the search."""

from typing import Any

import pytest
from ray import tune
from ray.tune.callback import CallbackList

from raynas.errors import RaynasError
from raynas.run.user_callbacks import UserCallbacks

HOOKS = sorted(name for name in vars(CallbackList) if name == "setup" or name.startswith("on_"))


class Noting(tune.Callback):
    """Notes the calls of its hooks, and may raise in one."""

    def __init__(self, raises: str = "") -> None:
        self.raises = raises
        self.called: list[tuple[str, dict[str, Any]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name not in HOOKS:
            return super().__getattribute__(name)

        def hook(**info: Any) -> None:
            self.called.append((name, info))
            if name == self.raises:
                raise KeyError("loss")

        return hook


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_reaches_every_callback(hook: str) -> None:
    failures: list[RaynasError] = []
    first, second = Noting(raises=hook), Noting()
    getattr(CallbackList([UserCallbacks([first, second], failures.append)]), hook)(iteration=3)
    assert first.called == second.called == [(hook, {"iteration": 3})]
    assert list(map(str, failures)) == [f"callback Noting of the run config raised in {hook}: KeyError: 'loss'"]


def test_their_state_is_theirs() -> None:
    class Stateful(tune.Callback):
        def get_state(self) -> dict[str, int]:
            return {"n": 3}

    assert UserCallbacks([tune.Callback(), Stateful()], lambda failure: None).get_state() == {0: None, 1: {"n": 3}}
