"""Nodes of the Ray cluster that this process is connected to: what each has, and room for what there is."""

from collections.abc import Iterable, Mapping
from typing import Any

Resources = Mapping[str, float]
"""Amounts by the names of Tune ("cpu", "gpu", or that of a custom resource) where needed, by Ray's where there are."""

RAY_NAMES = {"cpu": "CPU", "gpu": "GPU"}
"""Ray's names of the resources that Tune spells otherwise."""

NODE_GROUP = "ray.io/node-group"
"""Label of the nodes that an autoscaler started."""


def in_ray_names(resources: Resources) -> dict[str, float]:
    """Return resources by Ray's names."""
    return {RAY_NAMES.get(name, name): n for name, n in resources.items()}


def actor_options(resources: Resources) -> dict[str, Any]:
    """Return resources by Tune's names as options of a Ray actor."""
    custom = {name: n for name, n in resources.items() if name not in RAY_NAMES}
    return {"num_cpus": resources.get("cpu", 0), "num_gpus": resources.get("gpu", 0), "resources": custom}


ROUNDING = 1e-6
"""Tolerance of a division: 0.3 CPUs hold three trials of 0.1."""


def ray_nodes() -> list[dict[str, Any]]:
    """Return the nodes that are alive, as Ray describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def resources_of_nodes() -> list[Resources]:
    """Return the resources that each node has, used or not."""
    return [node["Resources"] for node in ray_nodes()]


def room_for(nodes: Iterable[Resources], bundles: Iterable[Resources]) -> int:
    """Return the number of trials that a cluster can run at a time.

    Args:
        nodes: the resources of each node.
        bundles: what a trial needs, each bundle on one node; an empty one needs nothing.
    """
    needs = [{name: n for name, n in in_ray_names(bundle).items() if n > 0} for bundle in bundles]
    needs = [need for need in needs if need]
    if len(needs) <= 1:
        return sum(room_on(node, *needs) for node in nodes)
    free = [dict(node) for node in nodes]
    n_trials = 0
    while all(_take(free, need) for need in needs):
        n_trials += 1
    return n_trials


def room_on(node: Resources, need: Resources) -> int:
    """Return the number of times that a node has what is needed, by Ray's names.

    A share of a GPU is of one GPU: four GPUs hold eight trials of 0.4, not ten.
    """
    return min(_room(name, node.get(name, 0), each) for name, each in need.items())


def _room(name: str, has: float, each: float) -> int:
    if name == "GPU" and each < 1:
        return int(has) * int(1 / each + ROUNDING)
    return int(has / each + ROUNDING)


def _take(free: list[dict[str, float]], need: Resources) -> bool:
    """Take a bundle from the first node that has room for it; return whether there was one."""
    for node in free:
        if room_on(node, need):
            node.update({name: node[name] - n for name, n in need.items()})
            return True
    return False


def largest(nodes: Iterable[Resources], names: Iterable[str]) -> str:
    """Word the most that any node has of each resource, such as "2 CPUs and no GPU"."""
    nodes = list(nodes)
    ray_names = [RAY_NAMES.get(name, name) for name in names]
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ray_names}
    return " and ".join(f"{n:g} {name}{'s' * (n != 1)}" if n else f"no {name}" for name, n in most.items())


def may_grow(bundles: Iterable[Resources]) -> bool:
    """Return whether an autoscaler manages the cluster and may add what a trial needs.

    A platform may tell Ray how far the cluster can grow. Others only name the group of every node that they start: the
    cluster launcher and KubeRay do.

    Args:
        bundles: what a trial needs.
    """
    limits = _limits_of_autoscaler()
    if limits is None:
        return any(NODE_GROUP in node.get("Labels", {}) for node in ray_nodes())
    needs = [need for bundle in bundles for need in in_ray_names(bundle).items() if need[1] > 0]
    return all(limits.get(name, 0) >= n for name, n in needs)


def may_have(resource: str) -> bool:
    """Return whether the cluster has a resource, such as "GPU", or is known to be able to add it."""
    if any(node.get(resource, 0) > 0 for node in resources_of_nodes()):
        return True
    return bool((_limits_of_autoscaler() or {}).get(resource))


def _limits_of_autoscaler() -> Resources | None:
    """Return the most that the autoscaler may ever provide; None if nobody has told Ray."""
    from ray._private.state import state

    try:
        limits: Resources | None = state.get_max_resources_from_cluster_config()
    except Exception:  # not public: a release without it knows no limits
        return None
    return limits
