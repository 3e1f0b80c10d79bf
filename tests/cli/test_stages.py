"""The stages of ``--funnel``."""

from typing import Any

import pytest

from raynas import FunnelStage
from raynas.cli.flags import DEMO_FIELDS
from raynas.errors import RaynasError, UnknownNameError
from raynas.strategies import Asha, LocalSearch, RandomSearch
from raynas.trials import Function, Training, ZeroCost
from tests.cli.funnel_lines import STAGES, search


def test_stages() -> None:
    command = search(*STAGES)
    demo = DEMO_FIELDS["train"]
    assert command.stages == (
        FunnelStage(ZeroCost(valid_share=demo["valid_share"]), n=30, objectives=["synflow"]),
        FunnelStage(Training(**{**demo, "epochs": 2}), n=10),
        FunnelStage(Training(**{**demo, "epochs": 6, "lr": 0.01}), n=4),
    )
    assert command.strategy == RandomSearch()
    assert command.trainable == command.stages[-1].settings
    assert command.search.objectives == ("accuracy",)
    assert search().stages == ()


def test_options_of_stages() -> None:
    """Those of --trainable, but for what the text sets; other kinds take over where the data is."""
    stages = search(
        *("--data", "mnist", "--trainable.batch_size", "32", "--trainable.seed", "3", "--trainable.data_dir", "/data"),
        *(
            "--funnel",
            "zero_cost 9 params macs batch_size=16 proxies=[snip,naswot]",
            "train 3 lr=none scale.channels=4 scale.n=2",
        ),
    ).stages
    where: dict[str, Any] = {"data": "mnist", "seed": 3, "data_dir": "/data"}
    assert stages[0].settings == ZeroCost(**where, batch_size=16, proxies=("snip", "naswot"))
    assert stages[0].objectives == ["params", "macs"]
    assert stages[1].settings == Training(**where, batch_size=32, epochs=9, scale={"channels": 4, "n": 2})


def test_a_function_as_a_stage() -> None:
    funnel = ("--funnel", "zero_cost 9", "function 3 max:reward fn=mine:other")
    stages = search("--trainable", "function", "--trainable.fn", "mine:train", *funnel).stages
    assert stages[1].settings == Function(fn="mine:other") and stages[1].objectives == ["max:reward"]
    stages = search("--trainable", "function", "--trainable.fn", "mine:train", *funnel[:2], "function 3").stages
    assert stages[1].settings == Function(fn="mine:train")


def test_early_stopping_is_for_the_stages_that_train() -> None:
    command = search(*STAGES, "--early_stopping", "asha", "--early_stopping.grace_period", "2", "--strategy", "local")
    assert [stage.early_stopping for stage in command.stages] == [None, *[Asha(grace_period=2)] * 2]
    assert command.strategy == LocalSearch(early_stopping=None)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--funnel", "train many", "train 3"), "cannot read stage 'train many'"),
        (("--funnel", "train", "train 3"), "cannot read stage 'train'"),
        (("--funnel", "trian 5", "train 3"), "did you mean 'train'"),
        (("--funnel", "train 5 epoch=3", "train 3"), "did you mean 'epochs'"),
        (("--funnel", "train 5 epochs=few", "train 3"), "epochs must be a whole number"),
        (("--funnel", "train 5 scale=3", "train 3"), "write scale.NAME=VALUE"),
        (("--funnel", "train 5 lr.low=3", "train 3"), "write lr=VALUE"),
        (("--funnel", "train 5 lr=" + "[" * 5000, "train 3"), "lr must be"),
        (("--funnel", "train 0", "train 0"), "at least 1, got 0"),
        (("--funnel", "train 5 accurcy", "train 3"), "needs a direction"),
        (("--funnel", "train 5 max:reward", "train 3"), "unknown metric 'reward'"),
        (("--funnel", "zero_cost 5 proxies=[synflw]", "train 3"), "did you mean 'synflow'"),
        (("--funnel", "function 5", "train 3"), "stage 'function 5' needs fn=..."),
        (("--funnel", "subnet 5", "train 3"), "needs supernet=..."),
        (("--funnel", "zero_cost 5", "zero_cost 3 snip", "--early_stopping", "asha"), "nothing to stop early"),
        ((*STAGES, "--num_samples", "60"), "--num_samples is not for a funnel"),
        ((*STAGES, "--hyperparameters.lr", "0.1"), "--hyperparameters is not for a funnel"),
        ((*STAGES, "--trainable", "subnet"), "write a stage, 'subnet NUMBER supernet=FOLDER'"),
    ],
)
def test_a_wrong_stage_gets_one_line(argv: tuple[str, ...], told: str) -> None:
    with pytest.raises((RaynasError, ValueError)) as caught:
        search(*argv)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_trainable_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"Known: .*function, .*train, zero_cost"):
        search("--funnel", "nonsense 5", "train 3")
