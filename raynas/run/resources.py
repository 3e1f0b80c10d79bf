"""room_for(): the number of trials that a cluster can run at a time."""

from collections.abc import Mapping

import ray

from raynas.errors import RaynasError


def room_for(resources: Mapping[str, float]) -> int:
    """Return the number of trials, or scoring actors, that the cluster can run at a time.

    Args:
        resources: the need of each, by Tune's names ("cpu", "gpu") or the name of a custom resource.

    Raises:
        RaynasError: if there is no room for one.
    """
    total = ray.cluster_resources()
    names = {"cpu": "CPU", "gpu": "GPU"}
    rooms = [int(total.get(names.get(name, name), 0) // n) for name, n in resources.items() if n > 0]
    if rooms and min(rooms) < 1:
        raise RaynasError(f"no node has room for a trial, which needs {dict(resources)}; the cluster has {total}")
    return min(rooms, default=1)
