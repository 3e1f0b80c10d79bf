"""PrunedMultiheadAttention: ``nn.MultiheadAttention`` whose heads together are narrower than its inputs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.nn.dimensions.expressions import Dimension, Kept, factors, size_of, take


class PrunedMultiheadAttention(nn.Module):
    """Multi-head attention with heads removed (Michel et al., "Are Sixteen Heads Really Better than One?", 2019).

    It computes what ``nn.MultiheadAttention`` does, with weights of the same names, but ``num_heads * head_dim`` need
    not be ``embed_dim``. Arguments of ``forward`` are those of ``nn.MultiheadAttention``.
    """

    embed_dim: int
    num_heads: int
    head_dim: int
    dropout: float
    batch_first: bool
    add_zero_attn: bool
    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    q_proj_weight: Tensor
    k_proj_weight: Tensor
    v_proj_weight: Tensor
    bias_k: Tensor | None
    bias_v: Tensor | None
    out_proj: nn.Linear

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the output, as wide as ``query``, and the attention weights if they are needed."""
        is_batched = query.dim() == 3
        if is_causal and attn_mask is None:
            raise ValueError("is_causal is a hint about attn_mask, which must be given with it")
        q, k, v = self.projected(query, key, value)
        if not is_batched:
            q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif self.batch_first:
            q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
        k, v, n_added = self.extended(k, v)
        n_queries, n_examples, _ = q.shape
        q, k, v = self.by_head(q), self.by_head(k), self.by_head(v)  # (examples, heads, positions, head_dim)
        mask = self.added_to_scores(attn_mask, key_padding_mask, q, n_added)
        is_causal = is_causal and key_padding_mask is None
        rate = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (q * math.sqrt(1 / self.head_dim)) @ k.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            weights = functional.dropout(weights, rate) if rate else weights
            heads = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if is_batched else weights.squeeze(0)
        else:
            heads = functional.scaled_dot_product_attention(q, k, v, None if is_causal else mask, rate, is_causal)
        joined = heads.permute(2, 0, 1, 3).reshape(n_queries * n_examples, self.num_heads * self.head_dim)
        output = self.out_proj(joined).unflatten(0, (n_queries, n_examples))
        output = output.squeeze(1) if not is_batched else output.transpose(0, 1) if self.batch_first else output
        return output, weights

    def projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Return queries, keys and values of all heads side by side."""
        if self.in_proj_weight is not None and query is key and key is value:
            return list(functional.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1))
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [
            functional.linear(x, weight, bias)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]

    def extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return keys and values with the learned ones and the zeros that follow them, and the number of these."""
        n_added = 0
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(1, k.shape[1], -1)])
            v = torch.cat([v, self.bias_v.expand(1, v.shape[1], -1)])
            n_added += 1
        if self.add_zero_attn:
            k = torch.cat([k, torch.zeros_like(k[:1])])
            v = torch.cat([v, torch.zeros_like(v[:1])])
            n_added += 1
        return k, v, n_added

    def by_head(self, x: Tensor) -> Tensor:
        """Return (positions, examples, heads * head_dim) as (examples, heads, positions, head_dim)."""
        heads: Tensor = x.unflatten(-1, (self.num_heads, self.head_dim))
        return heads.permute(1, 2, 0, 3)

    def added_to_scores(
        self, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, n_added: int
    ) -> Tensor | None:
        """Return the masks as one to add to scores of shape (examples, heads, queries, keys); None without any."""
        attn_mask, padding = (self.additive(mask, q.dtype, n_added) for mask in (attn_mask, padding))
        if attn_mask is not None and attn_mask.dim() == 3:
            attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))
        padding = None if padding is None else padding[:, None, None, :]
        return padding if attn_mask is None else attn_mask if padding is None else attn_mask + padding

    def additive(self, mask: Tensor | None, dtype: torch.dtype, n_added: int) -> Tensor | None:
        """Return a mask in which True is minus infinity, and added keys are not masked."""
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, float("-inf"))
        return functional.pad(mask, (0, n_added)) if mask is not None and n_added else mask


@contextmanager
def general_attention(model: nn.Module) -> Iterator[None]:
    """Let the multi-head attentions of torch in a model compute as pruned ones do, until the context ends.

    Their code then depends on the number of heads and their width apart from that of the inputs. Weights stay.
    """
    found: list[Any] = [module for module in model.modules() if type(module) is nn.MultiheadAttention]
    try:
        for module in found:
            module.__class__ = PrunedMultiheadAttention
        yield
    finally:
        for module in found:
            module.__class__ = nn.MultiheadAttention


def set_heads(clone: Any, given: nn.MultiheadAttention, joined: Dimension, kept: Kept) -> None:
    """Set the numbers of a copy of an attention to those of its weights, and its class to one that allows them.

    Args:
        clone: the copy, with weights of a member.
        given: the attention.
        joined: input dimension of the output layer: the heads side by side.
        kept: the indices that the member keeps.
    """
    outer, inner = take(factors(joined), given.num_heads)
    clone.num_heads, clone.head_dim = (math.prod(size_of(part, kept) for part in parts) for parts in (outer, inner))
    clone.embed_dim = clone.out_proj.out_features
    packed = clone.in_proj_weight
    clone.kdim = (clone.k_proj_weight if packed is None else packed).shape[1]
    clone.vdim = (clone.v_proj_weight if packed is None else packed).shape[1]
    if clone.num_heads * clone.head_dim != clone.embed_dim:
        clone.__class__ = PrunedMultiheadAttention
        clone._qkv_same_embed_dim = False  # which keeps the fused kernel of nn.TransformerEncoderLayer away
