"""Devices of the Ray cluster: a measuring actor on the node that has one, which makes one measurement at a time."""

from collections.abc import Callable
from typing import Any

from raynas.errors import RaynasError
from raynas.metrics.latency.timing import Timing
from raynas.nodes import may_have

SHARE = 0.001
"""Part of a device that an actor takes: those of several searches fit, and a lock lets one measure at a time."""

MAX_LOST = 3
"""Number of actors that may be lost, with their node or with the trial that started them, in one measurement."""


def resource_of(device: str) -> str:
    """Return the name of the custom Ray resource of a device, such as "device:jetson"."""
    return f"device:{device}"


class MeasuringActor:
    """Measures on the node that it is on."""

    def measure(self, measurement: Callable[[], Timing]) -> Timing:
        """Make a measurement."""
        return measurement()


def measure_on(device: str, measurement: Callable[[], Timing], *, gpu: bool = False) -> Timing:
    """Make a measurement on the node of the cluster that has a device.

    Args:
        device: name of the device; its node has the custom resource ``device:NAME``.
        measurement: travels to that node, so it must not hold what is only here.
        gpu: True if it takes a GPU of the node.

    Raises:
        RaynasError: if there is no cluster, no such node, or the node is lost again and again.
        Exception: that of the measurement.
    """
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    resource = resource_of(device)
    if not ray.is_initialized():
        raise RaynasError(f"latency on device {device!r} needs a Ray cluster with it: connect by ray.init(address=...)")
    if not may_have(resource):
        start = f"ray start --address=HEAD:6379 --num-cpus=0 --resources='{{\"{resource}\": 1}}'"
        raise RaynasError(f"no node of the cluster has the resource {resource!r}: on the device run {start}")
    options: dict[str, Any] = {
        "name": f"raynas measuring on {device}",
        "get_if_exists": True,
        "num_cpus": 0,
        "num_gpus": int(gpu),
        "resources": {resource: SHARE},
        "scheduling_strategy": "DEFAULT",  # not in the placement group of the trial that asks
    }
    for _ in range(MAX_LOST):
        actor: Any = ray.remote(MeasuringActor).options(**options).remote()
        try:
            timing: Timing = ray.get(actor.measure.remote(measurement))
            return timing
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError as error:
            lost = error
    raise RaynasError(f"the process that measures on {device!r} was lost {MAX_LOST} times") from lost
