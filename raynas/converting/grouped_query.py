"""Grouped queries: attention of a given block in which heads share keys and values (Ainslie et al., "GQA", EMNLP 2023).

The layers that give keys and values are found by a run of the block: attention is seen where it computes, and gradients
say which outputs of which layer a head's keys and values come from, however the block's code splits and reorders them.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from raynas.converting.attention import PrunedMultiheadAttention
from raynas.core.inputs import Arguments
from raynas.errors import SpaceError
from raynas.nn.modes import modes_kept
from raynas.nn.replacements import RepeatedOutputs

_PRODUCTS = {torch.matmul, Tensor.matmul, Tensor.__matmul__}
_SOFTMAXES = {torch.softmax, functional.softmax, Tensor.softmax}


class GroupedQueryAttention(PrunedMultiheadAttention):
    """Multi-head attention whose heads share keys and values in groups; arguments are those of the given one.

    ``k_proj_weight`` and ``v_proj_weight`` have the rows of ``n_groups`` heads, and so have their parts of
    ``in_proj_bias``.
    """

    n_groups: int

    def projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Return queries, and keys and values of all heads, those of a group repeated, side by side."""
        weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        sizes = [len(weight) for weight in weights]
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.split(sizes)
        q, k, v = [
            functional.linear(x, weight, bias)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]
        return [q, self.repeated(k), self.repeated(v)]

    def repeated(self, x: Tensor) -> Tensor:
        """Return the features of groups for each of their heads."""
        heads: Tensor = x.unflatten(-1, (self.n_groups, self.head_dim))
        return heads.repeat_interleave(self.num_heads // self.n_groups, dim=-2).flatten(-2)


def grouped_query(block: nn.Module, arguments: Arguments, n_groups: int) -> nn.Module:
    """Return a copy of a block whose heads share keys and values: the means of those of the heads of a group.

    Args:
        block: attention, or a module that holds some.
        arguments: of a call of the block.
        n_groups: number of heads that keys and values have.

    Raises:
        SpaceError: if the block has no attention whose keys and values can be shared so.
    """
    clone = copy.deepcopy(block)
    n_changed = 0
    for path, module in list(clone.named_modules()):
        if type(module) in (nn.MultiheadAttention, PrunedMultiheadAttention):
            _check_groups(module.num_heads, n_groups)
            clone = _put(clone, path, _shared(module, n_groups))
            n_changed += 1
    if not n_changed:
        clone, n_changed = _with_shared_outputs(clone, arguments, n_groups)
    if not n_changed:
        raise SpaceError("no attention was seen whose keys and values are put out by linear layers, head by head")
    return clone


def _check_groups(n_heads: int, n_groups: int) -> None:
    if not n_groups < n_heads or n_heads % n_groups:
        raise SpaceError(f"{n_heads} heads of keys and values cannot share those of {n_groups}")


def _put(model: nn.Module, path: str, module: nn.Module) -> nn.Module:
    if not path:
        return module
    model.set_submodule(path, module)
    return model


def _shared(given: Any, n_groups: int) -> nn.Module:
    """Return attention of torch, or that with heads removed, with keys and values of groups."""
    clone = copy.deepcopy(given)
    if not hasattr(clone, "head_dim") or clone.bias_k is not None:
        raise SpaceError("attention with learned keys beside those of its inputs cannot share them")
    clone.__class__ = GroupedQueryAttention
    clone.n_groups = n_groups
    clone._qkv_same_embed_dim = False  # which keeps the fused kernel of nn.TransformerEncoderLayer away

    def mean(rows: Tensor) -> Tensor:
        heads: Tensor = rows.detach().unflatten(0, (n_groups, -1, clone.head_dim))
        return heads.mean(1).flatten(0, 1)

    packed = given.in_proj_weight
    parts = packed.chunk(3) if packed is not None else (given.q_proj_weight, given.k_proj_weight, given.v_proj_weight)
    clone.in_proj_weight = None
    clone.q_proj_weight = nn.Parameter(parts[0].detach().clone())
    clone.k_proj_weight, clone.v_proj_weight = (nn.Parameter(mean(part)) for part in parts[1:])
    if given.in_proj_bias is not None:
        q, k, v = given.in_proj_bias.detach().chunk(3)
        clone.in_proj_bias = nn.Parameter(torch.cat([q, mean(k), mean(v)]))
    return clone  # type: ignore[no-any-return]


class _AttentionWatch(TorchFunctionMode):
    """Notes the keys and values of attention while a module runs: tensors of shape (examples, heads, ...)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []
        self._products: list[tuple[Tensor, Any]] = []
        self._n_weights: list[torch.Size] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is functional.scaled_dot_product_attention:
            _, key, value = (*args, *((kwargs or {}).get(name) for name in ("query", "key", "value")[len(args) :]))[:3]
            self.found += [key, value]
        elif func in _PRODUCTS and isinstance(result, Tensor) and result.ndim == 4:
            self._note_product(args[0], args[1], result)
        elif func in _SOFTMAXES and result.ndim == 4:
            # The last product of that shape gave the scores; what it multiplies queries by are the keys.
            keys = [b for scores, b in reversed(self._products) if scores.shape == result.shape]
            self.found += keys[:1]
            self._n_weights.append(result.shape)
        return result

    def _note_product(self, a: Tensor, b: Tensor, result: Tensor) -> None:
        if self._n_weights and a.shape == self._n_weights[-1]:
            self._n_weights.pop()
            self.found.append(b)
        else:
            self._products.append((result, b))


def _with_shared_outputs(clone: nn.Module, arguments: Arguments, n_groups: int) -> tuple[nn.Module, int]:
    """Return a block whose linear layers put out keys and values of groups, and the number of the layers."""
    heads: dict[str, list[Tensor]] = {}
    with modes_kept(clone), torch.enable_grad(), _outputs_kept(clone) as outputs, _AttentionWatch() as watch:
        clone.eval()
        for parameter in clone.parameters():
            parameter.requires_grad_(True)
        arguments.map(torch.Tensor.detach).call(clone)
        found = [each for each in watch.found if isinstance(each, Tensor) and each.ndim == 4 and each.requires_grad]
        for each in found:
            for path, found_owners in _owners(each, outputs):
                heads.setdefault(path, []).append(found_owners)
    for path, owners in heads.items():
        layer = clone.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        clone = _put(clone, path, _repeated(layer, owners, n_groups))
    return clone, len(heads)


@contextmanager
def _outputs_kept(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Give the outputs of the linear layers of a model, by path, for as long as it runs once."""
    outputs: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for path, module in model.named_modules():
            if type(module) is nn.Linear:

                def note(_module: nn.Module, _args: Any, output: Tensor, path: str = path) -> None:
                    outputs[path] = output

                stack.callback(module.register_forward_hook(note).remove)
        yield outputs


def _owners(heads: Tensor, outputs: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the layers whose outputs keys or values are made of: their paths, and the head of each output, -1 for none.

    Args:
        heads: keys or values of shape (examples, heads, ...).
        outputs: of the linear layers.
    """
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(heads.shape[2:], generator=generator).to(heads)
    paths = list(outputs)
    reached: dict[str, list[Tensor]] = {path: [] for path in paths}
    for head in range(heads.shape[1]):
        total = (heads[:, head] * weights).sum()
        gradients = torch.autograd.grad(total, list(outputs.values()), retain_graph=True, allow_unused=True)
        for path, gradient in zip(paths, gradients, strict=True):
            n = outputs[path].shape[-1]
            reached[path].append(
                torch.zeros(n, dtype=torch.bool) if gradient is None else gradient.cpu().reshape(-1, n).ne(0).any(0)
            )
    for path, masks in reached.items():
        mask = torch.stack(masks)
        sizes = mask.sum(1)
        if bool((mask.sum(0) <= 1).all()) and int(sizes.min()) > 0 and bool((sizes == sizes[0]).all()):
            yield path, torch.where(mask.any(0), mask.int().argmax(0), -1)


def _repeated(layer: nn.Linear, owners: list[Tensor], n_groups: int) -> nn.Module:
    """Return a linear layer that computes the outputs of heads once for each group, and gives them to all its heads."""
    index = torch.full((layer.out_features,), -1)
    rows: list[Tensor] = []
    shared = torch.stack([owner >= 0 for owner in owners]).any(0)
    for row in (~shared).nonzero().flatten().tolist():
        index[row] = len(rows)
        rows.append(torch.tensor([row]))
    for owner in owners:
        n_heads = int(owner.max()) + 1
        _check_groups(n_heads, n_groups)
        by_head = torch.stack([(owner == head).nonzero().flatten() for head in range(n_heads)])
        for group in by_head.chunk(n_groups):
            for same in group.T:  # the same feature of all heads of a group
                index[same] = len(rows)
                rows.append(same)
    compact = nn.Linear(layer.in_features, len(rows), layer.bias is not None).to(layer.weight)
    with torch.no_grad():
        compact.weight.copy_(torch.stack([layer.weight[row].mean(0) for row in rows]))
        if layer.bias is not None:
            compact.bias.copy_(torch.stack([layer.bias[row].mean() for row in rows]))
    return RepeatedOutputs(compact, index.to(layer.weight.device))
