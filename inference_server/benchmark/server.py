"""The server that a benchmark measures: a process of its own with one torch thread."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..wire.client import Client, ConnectionState

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0


@dataclass
class ServerProcess:
    """A server that was started on an address; it may not answer yet."""

    process: subprocess.Popen
    address: str
    log: Path

    def wait_until_ready(self, client: Client) -> None:
        """Raises UserError with the server's last words where it ends, or takes too long."""
        until = time.monotonic() + START_SECONDS
        while client.state is not ConnectionState.CONNECTED or not client.server.ready:
            client.poll(20)
            if self.process.poll() is not None or time.monotonic() > until:
                words = (self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
                raise UserError(f"The server did not start: {words}")

    def about(self) -> dict[str, str]:
        """Device, model and engine, as it says itself once it is ready. Raises UserError."""
        with closing(Client(self.address)) as client:
            self.wait_until_ready(client)
            return {"device": client.server.device, "model": client.server.model, "engine": client.server.engine}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def free_address() -> str:
    """A loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def start(scratch: Path, address: str | None = None, device: str = "auto", weights: str = "default") -> ServerProcess:
    """Start a server; its logs go into `scratch`."""
    address = address or free_address()
    arguments = ["serve", "--address", address, "--device", device, "--weights", weights, "--threads", "1"]
    arguments += ["--idle-exit", "600", "--log", str(scratch / "serve.log")]
    log = scratch / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference_server", *arguments],
            cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return ServerProcess(process, address, log)


@contextmanager
def server(scratch: Path, device: str = "auto", weights: str = "default") -> Iterator[ServerProcess]:
    """A server for the time of a with-block."""
    running = start(scratch, None, device, weights)
    try:
        yield running
    finally:
        running.stop()
