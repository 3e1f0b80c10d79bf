"""A server on loopback that speaks S3, with one bucket."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Variables with which the server lets anybody in."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's server; give the URI of a folder in its bucket, for processes that have ``CREDENTIALS``."""
    from pyarrow.fs import S3FileSystem

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(server, port)
        options = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http", "region": "us-east-1"}
        keys = {"access_key": "nobody", "secret_key": "nothing"}
        S3FileSystem(**options, **keys, allow_bucket_creation=True).create_dir("bucket")
        yield _uri(options)
    finally:
        server.kill()
        server.wait()


def _uri(options: Mapping[str, str]) -> str:
    return "s3://bucket/results?" + "&".join(f"{name}={value}" for name, value in options.items())


def _wait_for(server: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until or server.poll() is not None:
                raise RuntimeError("moto's server does not start: pip install 'moto[s3]' flask flask-cors") from None
            time.sleep(0.1)
