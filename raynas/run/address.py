"""ClusterAddress: the address of a Ray cluster, where it was found, and a quick check that a cluster answers there."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from raynas.errors import RaynasError, one_line

TIMEOUT = 5.0
"""Seconds that a host may take to answer; Ray itself tries for minutes."""

# What a client of HTTP/2, which gRPC speaks, says first: the preface, and an empty frame of settings.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS = 4


@dataclass(frozen=True)
class ClusterAddress:
    """An address.

    Args:
        value: HOST:PORT, or "auto" where only Ray knows.
        source: the origin, for messages; empty for an argument.
        remedy: what to do where nobody answers.
        is_noted: whether Ray found it on this machine, by a process or by the note of ``ray start``.
    """

    value: str
    source: str = ""
    remedy: str = "see the address that 'ray start --head' printed"
    is_noted: bool = False

    def __str__(self) -> str:
        return f"{self.value!r}{f' ({self.source})' if self.source else ''}"

    def check(self) -> None:
        """Make sure that a Ray cluster may be there, within seconds.

        Raises:
            RaynasError: if it cannot be.
        """
        if self.value == "auto":
            return
        kind, protocol, _ = self.value.rpartition("://")
        if protocol:
            raise RaynasError(_not_direct(self, kind))
        host, colon, port = self.value.rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
            raise RaynasError(f"the address of a Ray cluster is HOST:PORT or auto, got {self}; {self.remedy}")
        try:
            answer = _answer(host.strip("[]"), int(port))
        except OSError as error:
            raise RaynasError(f"nothing listens at {self} ({error}); {self.remedy}") from None
        if not answer:
            raise RaynasError(f"what listens at {self} is no Ray cluster; {self.remedy}")
        self._try_connection()

    def _try_connection(self) -> None:
        """Connect once, where Ray would try for minutes, whatever the reason.

        Raises:
            RaynasError: if the cluster refuses.
        """
        from ray.exceptions import RayError  # seconds, which the help text does not need

        try:
            from ray import _raylet
            from ray._private.authentication import authentication_token_setup as tokens

            if self.is_noted:  # as Ray does for the machine's own cluster alone
                tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            tokens.ensure_token_if_auth_enabled(create_token_if_missing=False)
            _raylet.GcsClient(address=self.value)  # type: ignore[attr-defined]
        except RayError as error:
            reason = one_line(error)
        except Exception:  # not public: where it has changed, Ray's own attempt decides
            return
        else:
            return
        if "authentication" in reason.lower():
            raise RaynasError(
                f"the Ray cluster at {self} wants another token, or one at all: set RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN to what 'ray get-auth-token' prints on its head (or copy ~/.ray/auth_token from there)"
            )
        raise RaynasError(f"what listens at {self} is no Ray cluster ({reason}); {self.remedy}")


def find_address(given: str | None) -> ClusterAddress | None:
    """Return the address of the cluster to use, found as Ray finds it; None to start Ray on this machine.

    Args:
        given: asked for; None and "auto" leave it to the environment.

    Raises:
        RaynasError: if one is asked for and there is none.
    """
    if given not in (None, "auto"):
        return None if given == "local" else ClusterAddress(str(given))
    variable = os.environ.get("RAY_ADDRESS") or "auto"
    if variable != "auto":
        remedy = "correct or unset the variable; RAY_ADDRESS=local starts Ray on this machine"
        return None if variable == "local" else ClusterAddress(variable, "from the variable RAY_ADDRESS", remedy)
    is_asked = "auto" in (given, os.environ.get("RAY_ADDRESS"))
    if is_asked and len(running := _running_here()) == 1:
        return ClusterAddress(running.pop(), "which runs on this machine", is_noted=True)
    file = _noted_by_ray_start()
    if file and (noted := file.read_text().strip()):
        remedy = "a cluster that is gone: remove that file, or set RAY_ADDRESS to the one you mean (or to 'local')"
        return ClusterAddress(noted, f"from {file}, where 'ray start' noted it", remedy, is_noted=True)
    return ClusterAddress("auto") if is_asked else None


def _running_here() -> set[str]:
    """Return the addresses of the clusters whose head is a process of this machine."""
    try:
        from ray._private.services import find_gcs_addresses

        return set(find_gcs_addresses())
    except Exception:  # not public: a release without it finds the cluster by itself
        return set()


def _noted_by_ray_start() -> Path | None:
    from ray._private.utils import get_ray_address_file

    file = Path(get_ray_address_file(None))
    return file if file.is_file() else None


def _not_direct(address: ClusterAddress, protocol: str) -> str:
    hints = {
        "ray": "trials do not run over Ray Client: run the program on the cluster, for example with 'ray job submit', "
        "or give HOST:PORT of its head (6379 by default) on a machine that is a node of it",
        "http": "that is for 'ray job submit'; the cluster itself is at HOST:PORT of its head (6379 by default)",
    }
    hint = hints.get(protocol.removesuffix("s"), "give HOST:PORT of its head")
    return f"the address {address} cannot be used: {hint}"


def _answer(host: str, port: int) -> bool:
    """Return whether a server of gRPC listens.

    Raises:
        OSError: if nothing does.
    """
    with socket.create_connection((host, port), TIMEOUT) as connection:
        if os.environ.get("RAY_USE_TLS", "0") == "1":
            return True
        connection.settimeout(TIMEOUT)
        try:
            connection.sendall(_GREETING)
            head = connection.recv(9, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(head) == 9 and head[3] == _SETTINGS
