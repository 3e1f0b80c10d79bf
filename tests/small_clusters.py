"""Clusters of tests watch no logs and have no autoscaler: each of both is a process that imports Ray."""


def start_fewer_processes() -> None:
    """Let the clusters that this process starts have neither."""
    from ray._private.node import Node

    for name in ("start_monitor", "start_log_monitor"):
        setattr(Node, name, _do_not_start)


def _do_not_start(node: object) -> None:
    return
