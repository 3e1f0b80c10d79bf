"""A wrong address is said within seconds, with its origin and what to do."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray import _raylet
from ray.exceptions import AuthenticationError, RpcError

from raynas.errors import RaynasError
from raynas.run import address
from raynas.run.address import ClusterAddress, find_address
from raynas.run.cluster import start_ray

GRPC = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
FREE_PORT = 1


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(address, "TIMEOUT", 0.2)
    monkeypatch.setattr(address, "_running_here", set)


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """Start servers that answer with the given bytes; return their addresses."""
    servers = []

    def server(answer: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        servers.append(listening)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(64)
                    connection.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield server
    for listening in servers:
        listening.close()


def refusing(error: Exception | None) -> Callable[..., None]:
    def connect(address: str) -> None:
        if error:
            raise error

    return connect


def note(tmp_path: Path, value: str) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (f"127.0.0.1:{FREE_PORT}", "nothing listens at '127.0.0.1:1' .*; see the address that 'ray start --head'"),
        ("head", "is HOST:PORT or auto, got 'head'"),
        ("head:", "is HOST:PORT or auto"),
        ("head:99999", "is HOST:PORT or auto"),
        (":6379", "is HOST:PORT or auto"),
        ("ray://head:10001", "trials do not run over Ray Client: run the program on the cluster"),
        ("https://head:8265", "that is for 'ray job submit'"),
        ("anyscale://it", "give HOST:PORT of its head"),
    ],
)
def test_an_argument_that_is_wrong(given: str, line: str) -> None:
    with pytest.raises(RaynasError, match=line):
        start_ray(given)


def test_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{FREE_PORT}")
    for given in (None, "auto"):
        with pytest.raises(RaynasError, match=r"from the variable RAY_ADDRESS.*correct or unset the variable"):
            start_ray(given)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(RaynasError, match=r"from the variable RAY_ADDRESS.*Ray Client"):
        start_ray()


def test_the_file_of_a_cluster_that_is_gone_is_named(tmp_path: Path) -> None:
    note(tmp_path, f"127.0.0.1:{FREE_PORT}\n")
    with pytest.raises(RaynasError, match=r"nothing listens.*ray_current_cluster.*remove that file"):
        start_ray()


def test_the_address_is_found_where_ray_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_address(None) is find_address("local") is None
    assert find_address("auto") == ClusterAddress("auto")
    note(tmp_path, "10.0.0.1:6379")
    noted = find_address("auto")
    assert noted == find_address(None) and noted and noted.value == "10.0.0.1:6379" and noted.is_noted
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    variable = find_address("auto")
    assert variable and variable.value == "10.0.0.2:6379" and not variable.is_noted
    assert find_address("10.0.0.3:6379") == ClusterAddress("10.0.0.3:6379")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert find_address(None) is None


def test_auto_prefers_what_runs_to_what_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    note(tmp_path, "10.0.0.1:6379")
    monkeypatch.setattr(address, "_running_here", lambda: {"10.0.0.2:6379"})
    assert (find_address("auto") or ClusterAddress("")).value == "10.0.0.2:6379"
    assert (find_address(None) or ClusterAddress("")).value == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert (find_address(None) or ClusterAddress("")).value == "10.0.0.2:6379"
    monkeypatch.setattr(address, "_running_here", lambda: {"10.0.0.2:6379", "10.0.0.3:6379"})
    assert (find_address(None) or ClusterAddress("")).value == "10.0.0.1:6379"


@pytest.mark.parametrize("answer", [HTTP, b"", b"\x00"])
def test_another_server_is_no_cluster(serve: Callable[[bytes], str], answer: bytes) -> None:
    with pytest.raises(RaynasError, match=r"what listens at '127.* is no Ray cluster; see the address"):
        ClusterAddress(serve(answer)).check()


def test_one_attempt_tells_what_the_cluster_says(
    serve: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ClusterAddress(serve(GRPC))
    monkeypatch.setattr(_raylet, "GcsClient", refusing(None))
    there.check()
    monkeypatch.setattr(_raylet, "GcsClient", refusing(TypeError("another signature, of another release")))
    there.check()
    monkeypatch.setattr(_raylet, "GcsClient", refusing(RpcError("unimplemented", rpc_code=12)))
    with pytest.raises(RaynasError, match="is no Ray cluster"):
        there.check()
    monkeypatch.setattr(_raylet, "GcsClient", refusing(AuthenticationError("Authentication token is missing")))
    with pytest.raises(RaynasError, match=r"wants another token, or one at all: set RAY_AUTH_MODE=token"):
        there.check()


def test_what_ray_itself_refuses_is_one_line(serve: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**arguments: object) -> None:
        raise ConnectionError("Failed to connect") from RuntimeError("Version mismatch:\n  cluster 2.44, this 2.60")

    monkeypatch.setattr(_raylet, "GcsClient", refusing(None))
    monkeypatch.setattr("ray.init", init)
    with pytest.raises(RaynasError, match=r"no connection to the Ray cluster at '127.*Version mismatch: cluster 2.44"):
        start_ray(serve(GRPC))


def test_a_connection_by_ray_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.util.client.ray.is_connected", lambda: True)
    with pytest.raises(RaynasError, match=r"connected by Ray Client \(ray://\).*ray job submit"):
        start_ray()
