"""Room: the number of trials that the cluster can run at a time, now and as it grows or shrinks."""

import logging
import time
from collections.abc import Callable, Sequence

from raynas.errors import RaynasError
from raynas.nodes import Resources, largest, may_grow, resources_of_nodes, room_for

logger = logging.getLogger(__name__)

ASK_SECONDS = 2.0
"""Period of counting again."""

PATIENCE_SECONDS = 60.0
"""Duration for which a running search waits for room that it had and lost, as when a node restarts."""


class Room:
    """The number of trials, or of actors that score in bulk, that may run at a time.

    It is counted node by node, and again every few seconds. Where an autoscaler manages the cluster, it is larger than
    the cluster by a node, so that the autoscaler sees that another is wanted.

    Args:
        bundles: what a trial needs, each bundle on one node, by Tune's names ("cpu", "gpu") or the name of a custom
            resource. Where nothing is needed there is always room: for ``limit`` trials, by default one.
        limit: the most that the user wants at a time; None for no limit.
        clock: seconds since some moment.

    Raises:
        RaynasError: if no node has room for a trial, and none may be added.
    """

    def __init__(
        self,
        bundles: Sequence[Resources],
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bundles, self._limit, self._clock = bundles, limit, clock
        self._needs = any(n > 0 for bundle in bundles for n in bundle.values())
        self._may_grow = self._needs and may_grow(bundles)
        self._room = self._count()
        self._counted = self._seen = clock()
        if self._room == 0:
            raise self._error()
        if self._may_grow and not room_for(resources_of_nodes(), bundles):
            logger.warning("%s; waiting until the autoscaler adds one", self._error())

    def __call__(self) -> int:
        """Return the number, at most some seconds old.

        Raises:
            RaynasError: if there has been no room for a minute.
        """
        now = self._clock()
        if now - self._counted >= ASK_SECONDS:
            self._room, self._counted = self._count(), now
        if self._room:
            self._seen = now
        elif now - self._seen >= PATIENCE_SECONDS:
            raise RaynasError(f"{self._error()}; run the same command again when its nodes are back")
        return self._room

    def _count(self) -> int:
        if not self._needs:
            return self._limit or 1
        nodes = resources_of_nodes()
        room = room_for(nodes, self._bundles)
        if self._may_grow:
            room += max((room_for([node], self._bundles) for node in nodes), default=0) or 1
        return room if self._limit is None else min(room, self._limit)

    def _error(self) -> RaynasError:
        needs = [dict(bundle) for bundle in self._bundles]
        names = sorted({name for need in needs for name, n in need.items() if n > 0})
        has = f"a node of the cluster has {largest(resources_of_nodes(), names)} at most"
        if len(needs) == 1:
            return RaynasError(f"no node has room for a trial, which needs {needs[0]}; {has}")
        shown = f"{len(needs)} times {needs[0]}" if all(need == needs[0] for need in needs) else needs
        return RaynasError(f"the cluster has no room for a trial, which needs {shown}, for a worker each; {has}")
