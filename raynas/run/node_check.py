"""check_nodes(): a look at every node before a search begins, where trials would otherwise fail one by one."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynas.errors import RaynasError, one_line
from raynas.nodes import Resources, ray_nodes, room_for
from raynas.storage.bucket import Bucket

logger = logging.getLogger(__name__)

TIMEOUT = 60.0
"""Seconds that nodes may take to start a process and to answer."""

Marker = tuple[str, Any] | None
"""Path of a file that nodes should see, and its file system; None for that of the node."""

Facts = Mapping[str, str]
"""Properties of a process that must be the same everywhere, by name; an empty text for a missing package."""


def check_nodes(bundles: Sequence[Resources], folder: Path | Bucket | None) -> None:
    """Make sure that the nodes that trials may run on have what this process has.

    Nothing is done where this machine is the only such node: its processes are as this one.

    Args:
        bundles: what a trial needs; nodes without room for any of it are left out.
        folder: the results folder, or a bucket, which every node must see; None if nothing is written from nodes.

    Raises:
        RaynasError: if a node has another release of Python, torch or raynas, or does not see the folder.
    """
    here = ray.get_runtime_context().get_node_id()
    useful = [node for node in ray_nodes() if any(room_for([node["Resources"]], [bundle]) for bundle in bundles)]
    others = {node["NodeID"]: node["NodeManagerAddress"] for node in useful if node["NodeID"] != here}
    if not others:
        return
    with _marker(folder) as marker:
        answers = _ask(others, marker)
        mine = _look()(marker)
    faults = {others[node]: fault for node, facts in answers.items() if (fault := fault_of(facts, mine, folder))}
    if faults:
        node, fault = next(iter(faults.items()))
        alike = f" ({len(faults)} nodes have faults)" if len(faults) > 1 else ""
        raise RaynasError(f"trials cannot run on node {node}: {fault}{alike}")


def fault_of(facts: Facts | RayError, mine: Facts, folder: Path | Bucket | None) -> str:
    """Say in which way a node differs from this process; an empty text if it does not.

    Args:
        facts: of the node, or the error that it ended with instead.
        mine: of this process.
        folder: the results folder.
    """
    if isinstance(facts, RayError):
        return f"it fails to start a process, {one_line(getattr(facts, 'cause', None) or facts)}"
    for name in ("Python", "torch", "raynas"):
        if facts[name] != mine[name]:
            return f"it has {name} {facts[name] or '(missing)'}, this process {mine[name]}; install the same on both"
    if facts["sources"] != mine["sources"]:
        return f"its raynas {facts['raynas']} has other source files than this process; install the same on both"
    if not facts["folder"] and isinstance(folder, Bucket):
        return f"it cannot read {folder}: give it the same access as this machine has ({facts['error'] or 'not found'})"
    if not facts["folder"]:
        return f"it does not see the results folder {folder}; choose one on a file system that every node shares"
    return ""


@contextmanager
def _marker(folder: Path | Bucket | None) -> Iterator[Marker]:
    """Put a file into the folder for as long as nodes look for it; give its path, and the file system."""
    if folder is None:
        yield None
        return
    if isinstance(folder, Bucket):
        name = f".seen-{uuid4().hex}"
        folder.write(name, b"seen")
        try:
            yield f"{folder.path}/{name}", folder.filesystem
        finally:
            folder.delete(name)
        return
    marker = folder / f".seen-{uuid4().hex}"
    marker.touch()
    try:
        yield str(marker), None
    finally:
        marker.unlink(missing_ok=True)


def _ask(nodes: Iterable[str], marker: Marker) -> dict[str, Facts | RayError]:
    """Return the facts of the nodes that answer in time."""
    task = ray.remote(_look())
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[task.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(marker)] = node
    answered, late = ray.wait(list(asked), num_returns=len(asked), timeout=TIMEOUT)
    if late:
        logger.warning("%d nodes did not answer within %.0f s and were not checked", len(late), TIMEOUT)
    facts: dict[str, Facts | RayError] = {}
    for ref in answered:
        try:
            facts[asked[ref]] = ray.get(ref)
        except (RayTaskError, RuntimeEnvSetupError) as error:
            facts[asked[ref]] = error
        except RayError as error:  # a node that has just left is no node of the search
            logger.warning("node %s was not checked: %s", asked[ref], one_line(error))
    return facts


def _look() -> Callable[[Marker], Facts]:
    """Return a function that looks at the process that it runs in; it is sent whole, as raynas may be missing there."""

    def look(marker: Any) -> dict[str, str]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import sys
        import time
        from pathlib import Path
        from typing import Any

        def version(package: str) -> str:
            if importlib.util.find_spec(package) is None:
                return ""
            try:
                return importlib.metadata.version(package).partition("+")[0]  # +cpu and +cu128 are alike
            except importlib.metadata.PackageNotFoundError:
                return "of unknown version"

        def sources(package: str) -> str:
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                return ""
            inside = Path(spec.origin).parent
            # A checkout has two folders beside the package, a wheel has them inside.
            roots = [inside, *(inside.parent / name for name in ("search_spaces", "trials"))]
            found = {(f.name, f.read_bytes()) for root in roots if root.is_dir() for f in root.rglob("*.py")}
            return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()

        def sees(path: str, filesystem: Any) -> str:
            if filesystem is None:
                return "" if Path(path).exists() else "it is not there"
            for pause in (0.1, 0.5, 2.0, 0.0):
                try:
                    return "" if filesystem.get_file_info(path).is_file else "it is not there"
                except Exception as error:
                    failure = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                    time.sleep(pause)
            return failure

        error = sees(*marker) if marker else ""
        return {
            "Python": "{}.{}".format(*sys.version_info),
            "torch": version("torch"),
            "raynas": version("raynas"),
            "sources": sources("raynas"),
            "folder": "" if error else "seen",
            "error": error,
        }

    return look
