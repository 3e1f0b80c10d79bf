"""Division of networks into parts."""

from collections import Counter

import numpy as np
from torch import nn

from raynas.metrics.latency_table.parts import Parts, to_be_timed, unseen, whole_kinds
from tests.metrics.latency_table.nets import Residual, small_space, traced


def test_the_share_that_was_never_seen() -> None:
    assert unseen(Counter({"a": 8, "b": 1, "c": 1})) == 0.2
    assert unseen(Counter()) == 0


def test_what_recurs_is_timed_whole_and_what_is_always_new_is_divided() -> None:
    space = small_space()
    rng = np.random.default_rng(0)
    networks = [traced(space.build(space.sample(rng)), 4) for _ in range(64)]
    kinds = whole_kinds(networks, are_all=False)
    assert any(kind.endswith(".Residual") for kind in kinds)
    full_cell = next(c.kind for n in networks for c in n.all() if c.kind.count("Residual") == 4)
    assert full_cell not in kinds  # it has 81 variants
    found = {call.kind for network in networks for call in to_be_timed(network, kinds)}
    assert {kind.rpartition(".")[2] for kind in found if "(" not in kind} == {"Linear", "Residual"}
    everything = whole_kinds(networks, are_all=True)  # each cell can be timed
    assert {call.path for call in to_be_timed(networks[0], everything)} == {"stem", "cell", "head"}


def test_what_a_table_lacks_is_divided_then_missing() -> None:
    network = traced(nn.Sequential(nn.Linear(8, 8), Residual(16)), 8)
    linear, residual = network.children
    body = residual.children[0]
    parts = Parts.of(network, {linear.key, body.children[0].key, body.children[1].key})
    assert [call.path for call in parts.timed] == ["0", "1.body.0", "1.body.1"]
    assert [call.path for call in parts.missing] == ["1.body.2"]
    assert (parts.n_joining, parts.joining_elements) == (1, 8)
    assert not Parts.of(network, {linear.key, residual.key}).missing


def test_a_network_of_one_module_is_its_own_part() -> None:
    network = traced(nn.Linear(4, 4), 4)
    assert Parts.of(network, {network.key}).timed == [network]
