"""The start of Ray on this machine, at once or in the background."""

import atexit
import logging
import threading


def start_ray() -> None:
    """Start Ray, or connect to the cluster in the variable RAY_ADDRESS, unless there is a connection already.

    Raises:
        ConnectionError: if there is no such cluster.
    """
    import ray

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


class RayStart:
    """A start of Ray in the background, while this process imports torch and checks what it was asked for."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: Exception | None = None
        threading.Thread(target=self._start, name="start of Ray", daemon=True).start()

    def wait(self) -> None:
        """Wait until Ray has started.

        Raises:
            ConnectionError: if there is no cluster at RAY_ADDRESS.
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
