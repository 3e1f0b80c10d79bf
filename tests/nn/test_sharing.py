"""Models with parts at two places: what is shared in the model is shared in everything made from it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raynas.core.inputs import TensorSpec
from raynas.metrics import count_params, untrained_metrics
from raynas.nn import Choice, ModelSpace, Repeat, Supernet
from raynas.trials.supernet.shared_weights import supernet_on


class Tied(nn.Module):
    """The output of the embedding's tokens, by the very weights of the embedding."""

    def __init__(self, tokens: nn.Embedding) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.tokens.weight.T


class Language(nn.Module):
    """Tied weights, a block that is called twice, a choice at two places, and a choice that holds the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.out = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.out.weight = self.tokens.weight
        self.before = self.after = Choice({"linear": lambda: nn.Linear(6, 6), "norm": lambda: nn.LayerNorm(6)})
        self.blocks = Repeat(lambda i: nn.Linear(6, 6), 1, 2)
        tokens = self.tokens
        self.last = Choice({"tied": lambda: Tied(tokens), "free": lambda: nn.Linear(6, 11)})

    def forward(self, ids: Tensor) -> Tensor:
        x = self.after(self.blocks(self.blocks(self.before(self.tokens(ids)))))
        out: Tensor = self.out(x) + self.last(x)
        return out


SPACE = ModelSpace(Language, inputs=TensorSpec((4,), torch.long, high=11))


def check_sharing(model: nn.Module) -> None:
    net = model.net if isinstance(model, Supernet) else model
    assert net.out.weight is net.tokens.weight and net.before is net.after  # type: ignore[union-attr]
    tied = [module for module in model.modules() if isinstance(module, Tied)]
    assert all(module.tokens is net.tokens for module in tied)


@pytest.mark.parametrize("arch", list(SPACE.enumerate()), ids=lambda arch: "-".join(map(str, arch.values())))
def test_networks_share_as_the_model_does(arch: dict[str, str]) -> None:
    model = SPACE.build(arch)
    check_sharing(model)
    per_option = {"linear": 42, "norm": 12}[arch["before"]] + {"tied": 0, "free": 77}[arch["last"]]
    assert count_params(model) == 66 + 42 * int(arch["blocks"]) + per_option, "each number once"
    metrics = untrained_metrics(SPACE, ["params", "macs"])
    assert metrics["params"](SPACE.canonical(arch)) == count_params(model)
    macs = 2 * 36 * (arch["before"] == "linear") + 2 * 42 * int(arch["blocks"]) + 66 + 66
    biases = 2 * 6 * (arch["before"] == "linear") + 11 * (arch["last"] == "free")
    assert metrics["macs"](SPACE.canonical(arch)) == 4 * (macs + biases), "of each call"


def test_a_supernet_and_its_subnets_share_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = Supernet(SPACE).eval()
    check_sharing(supernet)
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in supernet.state_dict().items()}
    again = supernet_on(SPACE, arrays)
    check_sharing(again)
    assert count_params(again) == count_params(supernet)
    ids = SPACE.example(3)
    for arch in SPACE.showcase(3):
        for copy_weights in (True, False):
            subnet = supernet.extract(arch, copy_weights=copy_weights)
            check_sharing(subnet)
            assert (subnet.tokens.weight is supernet.net.tokens.weight) is not copy_weights  # type: ignore[union-attr]
            torch.testing.assert_close(ids.call(subnet), supernet(ids, arch))
            torch.testing.assert_close(again(ids, arch), supernet(ids, arch))
        built = SPACE.build(arch)
        built.load_state_dict(subnet.state_dict())
        check_sharing(built)
        torch.testing.assert_close(ids.call(built.eval()), ids.call(subnet))
