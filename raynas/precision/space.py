"""PrecisionSpace: the networks of a search space and the precision of each of their layers, searched as one."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import torch
from torch import nn

from raynas.core.architecture import Architecture, Option
from raynas.core.decision import Categorical, Decision
from raynas.core.extended_space import ExtendedSpace
from raynas.core.space import SearchSpace
from raynas.errors import SettingError, SpaceError, UnknownNameError, did_you_mean
from raynas.precision.float_file import FloatFile
from raynas.precision.layers import PRECISIONS, RUNTIMES, Layer, layers_of

PREFIX = "precision."
"""The beginning of the names of the decisions."""

MAX_KNOWN = 10_000
"""Maximum number of networks whose layers are remembered."""


class PrecisionSpace(ExtendedSpace):
    """The decisions of a space, and the precision of each layer of its networks.

    Layers are those of all networks; a decision about one that a network does not have is without effect there. Layers
    that a runtime computes together have one decision: those that share a weight, an attention with its projections,
    and, where sums are coupled, those whose outputs are added or joined.

    Args:
        space: the networks.
        precisions: the options, of those that the runtime computes a layer in, the first the default; None for all of
            them but "int8_dynamic".
        runtime: "onnxruntime" ("float32", "int8", "int8_dynamic") or "eager", PyTorch ("float32", "bfloat16").
        keep: globs of paths of layers that stay float32.
        together: globs of paths; the layers that one of them names have one decision.
        couple_sums: True to couple the convolutions whose outputs are added or joined, which ONNX Runtime computes in 8
            bits only if all of them are; found in the default network.

    Raises:
        SettingError: if there is no such runtime, or it knows none of the precisions.
        SpaceError: if a glob names no layer, or no layer has a choice.
        UnknownNameError: if there is no such precision.
    """

    GROUP = "precision"

    def __init__(
        self,
        space: SearchSpace,
        precisions: Sequence[str] | None = None,
        *,
        runtime: str = "onnxruntime",
        keep: Sequence[str] = (),
        together: Sequence[str] = (),
        couple_sums: bool = False,
    ) -> None:
        super().__init__(space)
        if runtime not in RUNTIMES:
            raise SettingError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
        for precision in precisions or ():
            if precision not in PRECISIONS:
                raise UnknownNameError("precision", precision, PRECISIONS)
        self.runtime = runtime
        self.options = tuple(precisions or [each for each in PRECISIONS if each != "int8_dynamic"])
        self.keep = [keep] if isinstance(keep, str) else list(keep)
        self.together = [together] if isinstance(together, str) else list(together)
        self.couple_sums = couple_sums
        self._networks: dict[Architecture, list[Layer]] = {}

    @property
    def name(self) -> str:
        return f"{self.space.name}-precision"

    def around(self, space: SearchSpace) -> "PrecisionSpace":
        return PrecisionSpace(
            space,
            self.options,
            runtime=self.runtime,
            keep=self.keep,
            together=self.together,
            couple_sums=self.couple_sums,
        )

    @cached_property
    def layers(self) -> Mapping[str, Layer]:
        """The layers that have a decision, by its name.

        Raises:
            SpaceError: if a glob names no layer, or no layer has a choice.
        """
        found: dict[tuple[str, ...], Layer] = {}
        for arch in [self.space.default, *self.space.showcase()]:
            found |= {layer.paths: layer for layer in self._layers_in(arch)}
        layers = list(found.values())
        every = [path for layer in layers for path in layer.paths]
        for pattern in (*self.keep, *self.together):
            if not any(fnmatchcase(path, pattern) for path in every):
                raise SpaceError(f"{pattern!r} names no layer of {self.space.name}{did_you_mean(pattern, every)}")
        free = [layer for layer in layers if not any(self._names(layer, pattern) for pattern in self.keep)]
        merged = _merged(free, [*self._together(free), *self._sums()])
        offered = {f"{PREFIX}{layer.name}": layer for layer in merged if len(self._offered(layer)) > 1}
        if not offered:
            raise SpaceError(
                f"no layer of {self.space.name} has a choice of {', '.join(self.options)} on {self.runtime}"
            )
        return offered

    def _offered(self, layer: Layer) -> list[str]:
        return [precision for precision in self.options if precision in layer.precisions]

    def _names(self, layer: Layer, pattern: str) -> bool:
        return any(fnmatchcase(path, pattern) for path in layer.paths)

    def _together(self, layers: Sequence[Layer]) -> list[set[str]]:
        return [
            {path for layer in layers for path in layer.paths if fnmatchcase(path, pattern)}
            for pattern in self.together
        ]

    def _sums(self) -> list[set[str]]:
        if not self.couple_sums or self.runtime != "onnxruntime":
            return []
        with torch.random.fork_rng(devices=[]):
            network = self.space.build(self.space.default)
        return list(FloatFile.of(network, self.space.example(2)).sums())

    def _layers_in(self, arch: Architecture) -> list[Layer]:
        if arch not in self._networks:
            if len(self._networks) >= MAX_KNOWN:
                self._networks.clear()
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                self._networks[arch] = layers_of(self.space.build(arch), self.runtime)
        return self._networks[arch]

    @cached_property
    def own_decisions(self) -> Sequence[Decision]:
        return [Categorical(name, tuple(self._offered(layer))) for name, layer in self.layers.items()]

    @property
    def natural_baseline(self) -> Architecture | None:
        """The network that the space inside was made of, or else the default one, with all layers as by default."""
        inside = self.space.natural_baseline
        return self.default if inside is None else self.uniform(self.options[0], inside)

    def precisions(self, point: Mapping[str, Option], network: nn.Module | None = None) -> dict[str, str]:
        """Return the precision of each layer of a network that has a decision, by path.

        Args:
            point: the point, or a config of Tune.
            network: the network; None for that of the point.

        Raises:
            SpaceError: if the point is not a member.
        """
        arch = self.point(point)
        inside = self._layers_in(self.inside(arch)) if network is None else layers_of(network, self.runtime)
        there = {path for layer in inside for path in layer.paths}
        chosen = {path: str(arch[name]) for name, layer in self.layers.items() for path in layer.paths}
        return {path: precision for path, precision in chosen.items() if path in there}

    @property
    def has_twins(self) -> bool:
        return True

    def function_key(self, arch: Architecture) -> Hashable:
        """Return a key that points of the same function share, if the layers that their networks have are the same."""
        return self.space.function_key(self.inside(arch)), tuple(sorted(self.precisions(arch).items()))

    @property
    def fingerprint(self) -> str:
        text = f"{super().fingerprint} {self.runtime}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def uniform(self, precision: str, network: Mapping[str, Option] | None = None) -> Architecture:
        """Return the point at which all layers that can have a precision have it.

        Args:
            precision: the precision.
            network: point of the space inside; None for the default one.

        Raises:
            UnknownNameError: if it is no option.
        """
        if precision not in self.options:
            raise UnknownNameError("precision", precision, self.options)
        own = {d.name: precision if precision in d.options else d.default for d in self.own_decisions}
        return self.canonical({**(network or self.space.default), **own})

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_networks": {}}


def _merged(layers: Iterable[Layer], sets: Iterable[set[str]]) -> list[Layer]:
    """Return layers of which those that a set names are one."""
    groups = [{layer.name: layer} for layer in layers]
    for names in sets:
        joined = [group for group in groups if any(set(layer.paths) & names for layer in group.values())]
        if len(joined) > 1:
            rest = [group for group in groups if group not in joined]
            first = {name: layer for group in joined for name, layer in group.items()}
            groups = [*rest, first]
    order = {layer.name: i for i, layer in enumerate(layers)}
    return sorted((_one(list(group.values())) for group in groups), key=lambda layer: order[layer.name])


def _one(layers: Sequence[Layer]) -> Layer:
    shared = [p for p in PRECISIONS if all(p in layer.precisions for layer in layers)]
    return Layer(layers[0].name, tuple(path for layer in layers for path in layer.paths), tuple(shared))
