"""Reference: a small fixed network that is timed beside every other, and the time that it takes on a quiet machine."""

import json
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import torch
from torch import nn

from raynas.errors import ContentError
from raynas.files.content import decode_json, read_file
from raynas.files.replacing import write_whole
from raynas.metrics.latency.machine import boot_id, device_name, own_folder

FILE = "quiet_times.json"

_TIMES: "msgspec.json.Decoder[dict[str, float]]" = msgspec.json.Decoder(dict[str, float])


def reference_network() -> nn.Module:
    """Return the network: a convolution, a depthwise one, and matrices that no first-level cache holds."""
    network = nn.Sequential(
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.Conv2d(32, 64, 1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 1024),
        nn.Linear(1024, 256),
    )
    return network.eval()


@dataclass
class Reference:
    """The reference network on a device.

    Args:
        device: the device.
        n_threads: CPU threads within an operation.
    """

    device: torch.device
    n_threads: int
    network: nn.Module = field(init=False)
    inputs: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            self.network = reference_network().to(self.device)
        self.inputs = torch.ones(1, 16, 24, 24, device=self.device)

    def run(self) -> object:
        """Run it once."""
        return self.network(self.inputs)

    @property
    def _key(self) -> str:
        return f"{boot_id()} {device_name(self.device)} {self.n_threads} {torch.__version__}"

    def slowdown(self, ms: float, *, counts: bool) -> float:
        """Return a time over the shortest that was seen on this machine since it was started.

        Args:
            ms: median time of some runs.
            counts: True if it may become the shortest, because nothing is known to have disturbed it.
        """
        known = _QUIET.setdefault(self._key, _stored().get(self._key, ms))
        if counts and ms <= known:
            _QUIET[self._key] = ms
            _store(self._key, ms)
        return ms / min(known, ms)


_QUIET: dict[str, float] = {}
"""The shortest times that this process knows."""


def _stored() -> dict[str, float]:
    """Return the shortest times that processes of this user have seen."""
    with suppress(OSError, KeyError, ContentError):
        times: dict[str, float] = decode_json(read_file(own_folder() / FILE), _TIMES)
        return {key: ms for key, ms in times.items() if ms > 0}
    return {}


def _store(key: str, ms: float) -> None:
    with suppress(OSError, KeyError):
        others = {known: time for known, time in _stored().items() if known.startswith(boot_id())}
        write_whole(own_folder() / FILE, json.dumps({**others, key: min(ms, others.get(key, ms))}))
