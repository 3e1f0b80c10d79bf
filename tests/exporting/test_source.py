"""The written source is the same network: outputs, training, names of weights; it needs torch alone."""

import ast
import sys
import types
from collections import OrderedDict, namedtuple
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments
from raynas.core.space import SearchSpace
from raynas.exporting.code import SourceError
from raynas.exporting.source import Source, write_source
from raynas.exporting.standalone import leaves
from raynas.search_spaces import SEARCH_SPACES
from tests.exporting import models
from tests.search_spaces.test_contract import SMALL


def rebuilt(source: Source, model: nn.Module) -> nn.Module:
    """Run the source, and load the weights of the given network."""
    module = types.ModuleType("rebuilt")
    module.__dict__["__file__"] = "model.py"
    sys.modules["rebuilt"] = module
    exec(compile(source.text, "model.py", "exec"), module.__dict__)
    network: nn.Module = module.build()
    network.load_state_dict({**model.state_dict(), **source.extra_state})
    return network


def losses(network: nn.Module, inputs: Arguments) -> Iterator[float]:
    """Train for two steps; the random numbers of dropout are the same each time."""
    torch.manual_seed(0)
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    for _ in range(2):
        loss = torch.stack([t.float().square().mean() for t in leaves(inputs.call(network))]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def assert_same(model: nn.Module, inputs: Arguments, source: Source | None = None) -> nn.Module:
    """Compare outputs in eval mode, losses in training, and outputs after it."""
    again = rebuilt(source or write_source(model, "A network."), model)
    compare(model, again, inputs)
    assert list(losses(model, inputs)) == list(losses(again, inputs))
    compare(model, again, inputs)
    return again


def compare(model: nn.Module, again: nn.Module, inputs: Arguments) -> None:
    with torch.no_grad():
        first, second = (list(leaves(inputs.call(network.eval()))) for network in (model, again))
    assert first and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def imported(text: str) -> set[str]:
    """The packages that a source imports, besides the standard library."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)


def small(name: str) -> SearchSpace:
    return SEARCH_SPACES[name](input_shape=(1, 8, 8), **SMALL.get(name, {}))  # type: ignore[call-arg]


@pytest.mark.parametrize("name", sorted(SEARCH_SPACES))
def test_a_network_of_every_space_is_written_and_trains_alike(name: str) -> None:
    space = small(name)
    torch.manual_seed(0)
    model = space.build(space.sample(np.random.default_rng(1)))
    source = write_source(model, name)
    assert imported(source.text) == {"torch"} and not source.extra_state
    again = assert_same(model, space.example(4), source)
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in model.named_parameters()]


@pytest.mark.parametrize("space", [models.LANGUAGE, models.SIAMESE], ids=["language", "siamese"])
def test_models_of_users_are_written(space: SearchSpace) -> None:
    for seed in range(2):
        torch.manual_seed(seed)
        assert_same(space.build(space.sample(np.random.default_rng(seed))), space.example(3))


def test_what_is_shared_is_shared_again() -> None:
    siamese = assert_same(models.SIAMESE.build(first(models.SIAMESE)), models.SIAMESE.example(2))
    assert siamese.left is siamese.right
    language = rebuilt(write_source(model := models.LANGUAGE.build(first(models.LANGUAGE)), ""), model)
    assert language.out.weight is language.embedding.weight  # type: ignore[union-attr]


def first(space: SearchSpace) -> Any:
    return space.sample(np.random.default_rng(0))


def test_the_code_of_a_user_stays_as_it_was_written() -> None:
    text = write_source(models.LANGUAGE.build(first(models.LANGUAGE)), "").text
    assert "        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))\n" in text
    assert '    """Attention to earlier tokens."""\n' in text
    assert "config=Config(n_head=2, dropout=0.2)" in text


def test_a_tensor_that_is_no_weight_is_saved_with_the_weights() -> None:
    model = models.LANGUAGE.build(first(models.LANGUAGE))
    extra = write_source(model, "").extra_state
    assert {name.rpartition(".")[2] for name in extra} == {"mask"}
    assert torch.equal(next(iter(extra.values())), models.causal(models.LENGTH))


def test_layers_without_their_arguments_and_frozen_ones() -> None:
    again = assert_same(models.Recurrent(), Arguments((torch.randint(0, models.TOKENS, (3, 5)),)))
    assert [n for n, p in again.named_parameters() if not p.requires_grad] == ["embedding.weight"]


def test_control_flow_of_the_input_stays() -> None:
    model = models.Branching()
    again = assert_same(model, Arguments((torch.rand(2, 4),)))
    for x in (torch.full((1, 4), 9.0), torch.full((1, 4), -9.0)):
        assert torch.equal(again(x), model(x))


def test_a_class_out_of_reach_is_traced_in_both_modes() -> None:
    model = models.holding_a_function()
    source = write_source(model, "")
    assert "as traced" in source.text and "if self.training" in source.text
    assert_same(model, Arguments((torch.rand(5, 4),)), source)


def test_a_network_that_fx_cannot_trace_is_traced_with_an_example() -> None:
    model = models.Logged()
    inputs = Arguments((torch.rand(4, 4),), {"scale": torch.rand(4, 1), "bias": torch.rand(3)})
    with pytest.raises(SourceError, match=r"LOGGER is a Logger.*cannot be traced"):
        write_source(model, "")
    source = write_source(model, "", inputs=inputs)
    assert "as traced by torch.export" in source.text and "(self, x, *, scale, bias)" in source.text
    assert imported(source.text) == {"torch"} and " = None" not in source.text
    again = assert_same(model, inputs, source)
    compare(model, again, Arguments((torch.rand(9, 4),), {"scale": torch.rand(9, 1), "bias": torch.rand(3)}))
    with pytest.raises(SourceError, match="arguments that are no tensors"):
        write_source(model, "", inputs=Arguments(([torch.rand(4, 4)],)))


class Odd(nn.Linear):
    """A layer with an attribute and a method of its own."""

    def __init__(self, n: int, gain: float) -> None:
        super().__init__(n, n, bias=False)
        self.gain = gain
        self.norm = nn.LayerNorm(n)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x)) * self.gain  # type: ignore[no-any-return]


class Chain(nn.Sequential):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [super().forward(x), x]


class Keyed(nn.Module):
    """Instances with different layers."""

    def __init__(self, names: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in names.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for name in self._modules:
            x = getattr(self, name)(x)
        return x


class Optional(nn.Module):
    """Holds a layer, or None in its place."""

    def __init__(self, layer: nn.Module | None, *others: str) -> None:
        super().__init__()
        self.layer = layer
        self.act = nn.ReLU()
        for name in others:
            self.add_module(name, nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.layer is None else self.layer(x)
        return self.act(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("others", [(), ("more",)])
def test_instances_without_a_layer(others: tuple[str, ...]) -> None:
    model = nn.Sequential(Optional(None), Optional(nn.Linear(4, 4), *others), Optional(None))
    assert_same(model, Arguments((torch.rand(3, 4),)))


def test_subclasses_of_layers_and_containers() -> None:
    inside = Keyed({"0": Odd(4, 2.0), "none": nn.Tanh()}), Keyed({"class": Odd(4, float("inf"))})
    model = Chain(*inside, nn.Sequential(nn.Linear(4, 2)).double().float())
    inside[1].get_submodule("class").gain = 0.5  # type: ignore[assignment]
    again = assert_same(model, Arguments((torch.rand(3, 4),)))
    assert type(again).__mro__[1] is nn.Sequential


def kind_of(value: object) -> float:
    return 2.0 if isinstance(value, FunctionType) else 3.0


class Pooled(nn.Module):
    """Calls a function that uses a type of Python's own, which has another name there."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x) * kind_of(x)  # type: ignore[no-any-return]


def test_sizes_given_as_pairs_and_types_of_python() -> None:
    model = Pooled()
    assert_same(nn.Sequential(model, nn.Conv2d(2, 2, 1)), Arguments((torch.rand(2, 2, 4, 4),)))
    assert "from types import FunctionType" in write_source(model, "").text


def test_a_trace_is_written_as_its_code() -> None:
    trace = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)))
    assert_same(trace, Arguments((torch.rand(2, 1, 4, 4),)))


def test_two_classes_of_one_name_are_two_classes() -> None:
    def other() -> type[nn.Module]:
        class Odd(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x + 1

        return Odd

    text = write_source(nn.Sequential(Odd(4, 1.0), other()()), "").text
    assert "class Odd(nn.Linear)" in text and "class Odd2(nn.Module)" in text


class Named(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(OrderedDict({f"conv-{i}": nn.Conv2d(4, 4, 3, padding=1, bias=False) for i in range(4)}))


Pair = namedtuple("Pair", ["first", "second"], defaults=[None])


class Paired(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = Named(), Named()

    def forward(self, x: Tensor) -> Pair:
        return Pair(self.left(x) + self.right(x))


def test_named_layers_repeat_and_outputs_are_named() -> None:
    again = assert_same(Paired(), Arguments((torch.rand(2, 4, 5, 5),)))
    assert again(torch.rand(1, 4, 5, 5))._fields == ("first", "second")
    assert "def named() -> nn.Module:" in write_source(Paired(), "").text


def test_parts_that_repeat_are_a_function() -> None:
    block = lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())  # noqa: E731
    text = write_source(nn.Sequential(block(), block(), block()), "").text
    assert text.count("nn.Conv2d(") == 1 and text.count("sequential()") == 4


class Asking(nn.Module):
    """Names a class of modules in its forward pass, which no constant can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Odd(4, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if isinstance(self.layer, Odd) else x  # type: ignore[no-any-return]


def test_a_class_of_modules_in_a_forward_pass_is_traced_away() -> None:
    assert_same(Asking(), Arguments((torch.rand(3, 4),)))
    assert "as traced" in write_source(Asking(), "").text


def test_hooks_and_patched_methods_are_no_source() -> None:
    hooked = nn.Sequential(nn.Linear(2, 2))
    hooked[0].register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(SourceError, match="a Linear has hooks"):
        write_source(hooked, "")


def test_attributes_that_were_changed_after_the_constructor_are_kept() -> None:
    conv = nn.Conv2d(2, 2, 3)
    model = nn.Sequential(conv, nn.Softmax(dim=1))
    conv.stride = (2, 2)
    assert_same(model, Arguments((torch.rand(2, 2, 7, 7),)))
    conv.transposed = True
    with pytest.raises(SourceError, match="attribute transposed of a Conv2d"):
        write_source(model, "")
