"""The controller that proposes architectures in reinforcement learning: an LSTM that makes one decision after another.

After Zoph and Le, "Neural Architecture Search with Reinforcement Learning" (ICLR 2017, arXiv:1611.01578), with the
bounded, flattened logits of Pham et al., "ENAS" (ICML 2018, arXiv:1802.03268).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Decision
from raynas.core.space import SearchSpace
from raynas.errors import SpaceError

Pick = Callable[[Decision, Tensor], int]
"""Picks the index of an option, given a decision and the log-probabilities of its options, shape ``(n_options,)``."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """An architecture that the controller proposes.

    Args:
        arch: a canonical member of the space.
        log_prob: logarithm of its probability, a scalar; has a gradient for the controller.
        entropy: sum over its decisions of the entropy of their options, in nats, a scalar; has a gradient too.
    """

    arch: Architecture
    log_prob: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """A distribution over the architectures of a space.

    It makes the decisions in the order of the space and skips inactive ones, so the probabilities of all canonical
    architectures sum to one. The input of the LSTM is the option of the previous decision; each decision has a separate
    output layer, and each option a separate embedding, as the decisions of a space may differ.

    Args:
        space: the search space; none of its decisions may be continuous.
        hidden_size: width of the LSTM.
        tanh_constant: c in the bound of the logits, ``c * tanh(logits / temperature)``; None for no bound.
        temperature: divisor of the logits.
        init_range: initial weights are uniform in ``[-init_range, init_range]``.
        seed: of the initial weights.

    Raises:
        SpaceError: if a decision is continuous.
        ValueError: if a size, the constant or the temperature is not positive.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        hidden_size: int = 100,
        tanh_constant: float | None = 2.5,
        temperature: float = 5.0,
        init_range: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if hidden_size < 1 or temperature <= 0 or init_range <= 0 or (tanh_constant is not None and tanh_constant <= 0):
            raise ValueError(
                "a controller needs hidden_size >= 1 and positive temperature, tanh_constant and init_range, got "
                f"{hidden_size}, {temperature}, {tanh_constant} and {init_range}"
            )
        if continuous := [d.name for d in space.decisions if not d.options]:
            raise SpaceError(f"a controller cannot take continuous decisions such as {continuous[0]!r}")
        self.decisions = tuple(space.decisions)
        self.hidden_size, self.tanh_constant, self.temperature = hidden_size, tanh_constant, temperature
        with torch.random.fork_rng(devices=[]):  # The weights are initialised below.
            n_options = [len(decision.options) for decision in self.decisions]
            self.cell = nn.LSTMCell(hidden_size, hidden_size)
            self.begin = nn.Parameter(torch.empty(hidden_size))
            self.embeddings = nn.ModuleList(nn.Embedding(n, hidden_size) for n in n_options)
            self.outputs = nn.ModuleList(nn.Linear(hidden_size, n, bias=False) for n in n_options)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-init_range, init_range, generator=generator)

    def walk(self, pick: Pick) -> Proposal:
        """Make all decisions, one after another.

        Args:
            pick: chooses the option of each active decision.
        """
        options: dict[str, Option] = {}
        log_probs, entropies = [], []
        x, state = self.begin[None], None
        for decision, embedding, output in zip(self.decisions, self.embeddings, self.outputs, strict=True):
            if not decision.is_active(options):
                continue
            state = self.cell(x, state)
            log_p = self._bounded(output(state[0])[0]).log_softmax(dim=0)
            index = pick(decision, log_p)
            chosen = torch.tensor([index], device=log_p.device)
            options[decision.name] = decision.options[index]
            log_probs.append(log_p[index])
            entropies.append(-(log_p.exp() * log_p).sum())
            x = embedding(chosen)
        return Proposal(Architecture(options), torch.stack(log_probs).sum(), torch.stack(entropies).sum())

    def _bounded(self, logits: Tensor) -> Tensor:
        logits = logits / self.temperature
        return logits if self.tanh_constant is None else self.tanh_constant * logits.tanh()

    def sample(self, rng: np.random.Generator) -> Proposal:
        """Draw an architecture."""
        return self.walk(lambda decision, log_p: _drawn(log_p.detach()[None], rng)[0])

    def evaluate(self, arch: Mapping[str, Option]) -> Proposal:
        """Return the probability of an architecture, for example of one that an older state of the controller proposed.

        Args:
            arch: a member of the space; decisions that are not active are ignored.

        Raises:
            SpaceError: if an active decision is missing, or has an option that it does not know.
        """
        return self.walk(lambda decision, log_p: _given(decision, arch))

    def sample_many(self, n: int, rng: np.random.Generator) -> tuple[list[Architecture], Tensor]:
        """Draw n architectures at once, which costs little more than one.

        Args:
            n: number of architectures.
            rng: the random generator.

        Returns:
            The architectures, and the log-probabilities of their options, ``(n, n_decisions)`` as in
            ``evaluate_many``, without a gradient.
        """
        with torch.no_grad():
            return self._in_step(n, lambda decision, rows, log_p: _drawn(log_p, rng))[:2]

    def evaluate_many(self, archs: Sequence[Mapping[str, Option]]) -> tuple[Tensor, Tensor]:
        """Return the probabilities of several architectures, decision by decision.

        Args:
            archs: members of the space; decisions that are not active are ignored.

        Returns:
            Log-probabilities of the options, and entropies in nats, both ``(n_archs, n_decisions)``, with zeros for
            inactive decisions; their sums over decisions are those of ``evaluate``.

        Raises:
            SpaceError: if an active decision is missing, or has an option that it does not know.
        """

        def given(decision: Decision, rows: list[int], log_p: Tensor) -> list[int]:
            return [_given(decision, archs[row]) for row in rows]

        return self._in_step(len(archs), given)[1:]

    def _in_step(
        self, n: int, pick: Callable[[Decision, list[int], Tensor], list[int]]
    ) -> tuple[list[Architecture], Tensor, Tensor]:
        """Walk n times in parallel; ``log_p`` is ``(rows, n_options)`` for the walks in which a decision is active."""
        options: list[dict[str, Option]] = [{} for _ in range(n)]
        state = (self.begin.expand(n, -1), *(self.begin.new_zeros(n, self.hidden_size) for _ in "hc"))
        log_probs, entropies = [], []
        for decision, embedding, output in zip(self.decisions, self.embeddings, self.outputs, strict=True):
            rows = [row for row in range(n) if decision.is_active(options[row])]
            if not rows:
                log_probs.append(self.begin.new_zeros(n))
                entropies.append(self.begin.new_zeros(n))
                continue
            active = _Rows(rows, n, self.begin.device)
            x, h, c = map(active.of, state)
            h, c = self.cell(x, (h, c))
            log_p = self._bounded(output(h)).log_softmax(dim=1)
            picked = pick(decision, rows, log_p)
            for row, i in zip(rows, picked, strict=True):
                options[row][decision.name] = decision.options[i]
            chosen = torch.tensor(picked, device=x.device)
            log_probs.append(active.put(self.begin.new_zeros(n), log_p.gather(1, chosen[:, None])[:, 0]))
            entropies.append(active.put(self.begin.new_zeros(n), -(log_p.exp() * log_p).sum(dim=1)))
            state = tuple(active.put(old, new) for old, new in zip(state, (embedding(chosen), h, c), strict=True))
        return [Architecture(o) for o in options], torch.stack(log_probs, dim=1), torch.stack(entropies, dim=1)

    def most_likely(self) -> Architecture:
        """Return the architecture of the most probable option at each step."""
        with torch.no_grad():
            return self.walk(lambda decision, log_p: int(log_p.argmax())).arch


class _Rows:
    """Some rows of a batch; if it is all rows, nothing is copied."""

    def __init__(self, rows: list[int], n: int, device: torch.device) -> None:
        self.index = None if len(rows) == n else torch.tensor(rows, device=device)

    def of(self, batch: Tensor) -> Tensor:
        return batch if self.index is None else batch[self.index]

    def put(self, batch: Tensor, values: Tensor) -> Tensor:
        return values if self.index is None else batch.index_copy(0, self.index, values)


def _drawn(log_p: Tensor, rng: np.random.Generator) -> list[int]:
    """Draw the index of an option for each row of log-probabilities."""
    cumulative = np.cumsum(log_p.double().exp().cpu().numpy(), axis=1)
    thresholds = rng.random(len(cumulative)) * cumulative[:, -1]
    return [int(i) for i in (cumulative[:, :-1] <= thresholds[:, None]).sum(axis=1)]


def _given(decision: Decision, arch: Mapping[str, Option]) -> int:
    if decision.name not in arch or not decision.contains(arch[decision.name]):
        given = repr(arch[decision.name]) if decision.name in arch else "left out"
        raise SpaceError(f"decision {decision.name!r} cannot be {given}")
    return decision.options.index(arch[decision.name])
