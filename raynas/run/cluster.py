"""The connection to Ray: on this machine or to a cluster, at once or in the background."""

import atexit
import logging
import threading

from raynas.errors import RaynasError, one_line
from raynas.run.address import ClusterAddress, find_address


def start_ray(address: str | None = None) -> None:
    """Connect to the cluster that is asked for, or start Ray on this machine; unless there is a connection already.

    Args:
        address: of a cluster, HOST:PORT, or "auto" for one that runs on this machine; by default the one that Ray would
            take: of the variable RAY_ADDRESS, or that ``ray start`` noted on this machine, or none.

    Raises:
        RaynasError: if there is no cluster at the address, or it takes no connection from here.
    """
    import ray

    if ray.is_initialized():
        _refuse_client()
        return
    found = find_address(address)
    if found:
        found.check()
    try:
        given = {"address": found.value} if found else {"address": "local", "include_dashboard": False}
        ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise _not_connected(found, error) from None


def join_cluster() -> None:
    """Connect to the cluster that the environment names, if it does: its GPUs decide what device "auto" means.

    Raises:
        RaynasError: if there is no cluster where one should be.
    """
    if find_address(None):
        start_ray()


def _refuse_client() -> None:
    from ray.util.client import ray as client

    if client.is_connected():
        raise RaynasError(
            "this process is connected by Ray Client (ray://), over which Tune runs no trials here; run the program "
            "on the cluster, for example with 'ray job submit'"
        )


def _not_connected(found: ClusterAddress | None, error: Exception) -> RaynasError:
    if found is None:
        return RaynasError(f"Ray does not start on this machine: {one_line(error)}")
    return RaynasError(f"no connection to the Ray cluster at {found}: {one_line(error.__cause__ or error)}")


class RayStart:
    """A start of Ray in the background, while this process imports torch and checks what it was asked for."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: Exception | None = None
        threading.Thread(target=self._start, name="start of Ray", daemon=True).start()

    def wait(self) -> None:
        """Wait until Ray has started.

        Raises:
            RaynasError: if there is no cluster where one should be.
        """
        self._done.wait()
        if self._error:
            raise self._error

    def _start(self) -> None:
        import ray  # noqa: F401

        atexit.register(self._done.wait)  # before Ray's exit handler, which must not meet a half-started Ray
        try:
            start_ray()
        except Exception as error:
            self._error = error
        self._done.set()
        # Ray's processes end with the thread that started them (PR_SET_PDEATHSIG of Linux), so it stays.
        threading.Event().wait()
