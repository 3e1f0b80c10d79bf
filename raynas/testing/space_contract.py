"""SpaceContract: tests that every search space must pass."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from ray import cloudpickle
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError
from raynas.nn import ModelSpace, Supernet
from raynas.testing.decision_contract import DecisionContract, sampled


class SpaceContract(DecisionContract):
    """Tests that every search space must pass.

    Derive from it and give the space, small enough to build some hundred of its networks::

        class TestMySpace(SpaceContract):
            @pytest.fixture
            def space(self):
                return ModelSpace(MyNet, input_shape=(1, 8, 8))
    """

    has_supernet: bool = True
    """Make it False for a ModelSpace whose choices change a width that layers without elasticity follow."""

    def test_every_option_builds_and_runs(self, space: SearchSpace) -> None:
        """Networks that together show every option map two examples to finite outputs, one each."""
        seen: set[tuple[str, Option]] = set()
        for arch in space.showcase(5):
            seen |= set(arch.items())
            with torch.no_grad():
                out = space.example(2).call(space.build(arch).eval())
            assert out.shape[0] == 2 and torch.isfinite(out).all(), arch
        assert seen >= {(d.name, option) for d in space.decisions for option in d.options}

    def test_check_passes(self, space: SearchSpace) -> None:
        """Nothing is broken."""
        space.check(n_samples=5)

    def test_networks_have_gradients(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """In training mode the loss of a batch reaches some parameter."""
        model = space.build(samples[0]).train()
        space.example(4).map_real(torch.randn_like).call(model).square().sum().backward()
        assert any(parameter.grad is not None for parameter in model.parameters())

    def test_build_follows_the_seed(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """The same seed of torch gives the same weights, even in a space that was not looked at before."""
        fresh = cloudpickle.loads(cloudpickle.dumps(space))
        weights = [_weights(member_of, samples[0], seed) for member_of, seed in ((space, 0), (space, 0), (fresh, 0))]
        for name, tensor in weights[0].items():
            assert all(torch.equal(tensor, other[name]) for other in weights[1:]), name

    def test_build_on_meta_takes_no_memory(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """Under the meta device every tensor is one without values, of the same shape as otherwise."""
        with torch.device("meta"):
            model = space.build(samples[0])
        state = model.state_dict()
        assert all(tensor.is_meta for tensor in state.values())
        assert _shapes(model) == _shapes(space.build(samples[0]))

    def test_build_takes_members_only(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A superset of a member builds the member's network; what is no member is refused."""
        rng = np.random.default_rng(0)
        arch = min(samples, key=len)
        superset = Architecture({**{d.name: d.sample(rng) for d in space.decisions}, **arch})
        assert _shapes(space.build(superset)) == _shapes(space.build(arch))
        with pytest.raises(SpaceError):
            space.build(Architecture({**arch, next(iter(arch)): "no such option"}))

    def test_supernet_holds_every_subnet(self, space: SearchSpace) -> None:
        """In eval mode a subnet computes the same inside the supernet and extracted, and extracted has build's tensors.

        Only where the space is read off a model with choices, and ``has_supernet`` is not made False.
        """
        if not isinstance(space, ModelSpace) or not self.has_supernet:
            pytest.skip(f"{space.name} has no supernet")
        torch.manual_seed(0)
        supernet = Supernet(space).eval()
        x = space.example(2).map_real(torch.randn_like)
        for arch in space.showcase(2):
            subnet = supernet.extract(arch)
            with torch.no_grad():
                torch.testing.assert_close(x.call(subnet), supernet(x, arch), rtol=1e-4, atol=1e-5)
            assert _shapes(subnet) == _shapes(space.build(arch))

    def test_space_pickles(self, space: SearchSpace, samples: Sequence[Architecture]) -> None:
        """A copy that went through cloudpickle, as through Ray, is the same space."""
        copy = cloudpickle.loads(cloudpickle.dumps(space))
        assert copy.fingerprint == space.fingerprint
        assert sampled(copy, seed=0) == samples
        assert _shapes(copy.build(samples[0])) == _shapes(space.build(samples[0]))


def _weights(space: SearchSpace, arch: Architecture, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return space.build(arch).state_dict()


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}
