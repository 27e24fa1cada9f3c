"""A real server process with a light predictor instead of a network, for the tests of the wire and the
service.

python tests/light_server.py ADDRESS '{"job_seconds": 5}'
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference_server.errors import UserError
from inference_server.wire.client import Client, ConnectionState

REPOSITORY = Path(__file__).resolve().parent.parent
RADIUS = 0.5


@dataclass
class LightPrediction:
    """What the service needs of a prediction."""

    mask: np.ndarray
    probabilities: np.ndarray
    timing: dict[str, float]
    indices: np.ndarray | None = None
    voxels: int = 0


class SpherePredictor:
    """The points within RADIUS of a positive click that no later negative click has within RADIUS.

    delay: seconds that an answer takes. trouble: what goes wrong instead of one.
    """

    name, device, engine = "sphere", "cpu", "light"

    def __init__(self, broken: str = "", wild_clock: bool = False):
        if wild_clock:
            make_the_clock_wild()
        if broken == "sentence":
            raise UserError("There are no weights 'nonsense': give a file.")
        if broken == "exit":
            os._exit(9)

    def prepare(self, positions: np.ndarray, colors: np.ndarray | None, voxel_size: float) -> np.ndarray:
        if not np.isfinite(positions).all():
            raise UserError("Some of the scan's points have no finite position; remove them and try again.")
        return positions.copy()

    def release_memory(self) -> None:
        """There is nothing to forget."""

    def predict_on(self, scene: np.ndarray, clicks: list, delay: float = 0.0, trouble: str = "") -> LightPrediction:
        clock = time.perf_counter()
        time.sleep(delay)
        if trouble == "exception":
            raise ZeroDivisionError("at 1.2345 -6.789")
        if trouble == "memory":
            raise MemoryError
        if trouble == "device":
            raise RuntimeError("CUDA error: the device is gone")
        if trouble == "exit":
            os._exit(9)
        return LightPrediction(*sphere(scene, clicks), {"network": time.perf_counter() - clock})


def sphere(scene: np.ndarray, clicks: list) -> tuple[np.ndarray, np.ndarray]:
    """Mask and probabilities of SpherePredictor, to compare a server's answer with."""
    mask = np.zeros(len(scene), bool)
    probabilities = np.zeros(len(scene), np.uint8)
    for click in clicks:
        distance = np.linalg.norm(scene - np.array(click.position, np.float32), axis=1)
        mask[distance < RADIUS] = click.positive
        near = distance < 2 * RADIUS
        probabilities[near] = (255 * (1 - distance[near] / (2 * RADIUS))).astype(np.uint8)
    return mask, probabilities


def make_the_clock_wild() -> None:
    """This process's time of day jumps by up to a year whenever somebody looks at it."""
    real, rng = time.time, np.random.default_rng()
    time.time = lambda: real() + rng.uniform(-1, 1) * 365 * 86400


def make_mistakes(fault: Path) -> None:
    """While this file exists, the service fails where it tells its state, and where it looks at keys."""
    from inference_server.service import desk, security

    def failing(method):
        def call(*arguments):
            if fault.exists():
                raise ZeroDivisionError("at 1.2345")
            return method(*arguments)

        return call

    desk.state_of = failing(desk.state_of)
    security.Gate.refresh = failing(security.Gate.refresh)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class LightServer:
    """A running server process."""

    process: subprocess.Popen
    address: str

    def worker_pid(self) -> int:
        """The process that runs the predictor."""
        with connected(self.address) as client:
            return client.status()["workers"][0]["process"]


def start_server(address: str | None = None, inside: tuple[str, ...] = (), **settings: object) -> LightServer:
    """Start a server; it answers hello at once, and predicts when its worker is up. inside: what runs its command."""
    address = address or f"tcp://127.0.0.1:{free_port()}"
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"}
    command = [*inside, sys.executable, str(Path(__file__)), address, json.dumps(settings)]
    return LightServer(subprocess.Popen(command, env=environment, cwd=REPOSITORY), address)


@contextmanager
def server(address: str | None = None, **settings: object) -> Iterator[LightServer]:
    """A server process for the time of a with-block."""
    running = start_server(address, **settings)
    try:
        yield running
    finally:
        stop(running.process)


def stop(process: subprocess.Popen) -> None:
    """End a server, gently where it still listens to that."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@contextmanager
def connected(address: str, timeout: float = 60.0, **keys: str) -> Iterator[Client]:
    """A client that has reached its server and knows that its model is loaded."""
    client = Client(address, **keys)
    try:
        deadline = time.monotonic() + timeout
        while client.state is not ConnectionState.CONNECTED or not client.server.ready:
            assert time.monotonic() < deadline, client.state_text
            client.poll(20)
        client.poll()
        yield client
    finally:
        client.close()


def a_scan(points: int = 5_000, seed: int = 0, size: float = 4.0) -> np.ndarray:
    """Random points in a cube, float32 (N, 3)."""
    return np.random.default_rng(seed).uniform(0, size, (points, 3)).astype(np.float32)


def main() -> None:
    from orphans import end_with_parent

    from inference_server.service.loop import Service
    from inference_server.service.settings import Settings

    address, settings = sys.argv[1], json.loads(sys.argv[2])
    if settings.pop("wild_clock", False):
        make_the_clock_wild()
    if "mistakes" in settings:
        make_mistakes(Path(settings.pop("mistakes")))
    for name in ("keys", "log_file", "figures_file"):
        if name in settings:
            settings[name] = Path(settings[name])
    if "workers" in settings:
        settings["workers"] = tuple(settings["workers"])
    try:
        service = Service(Settings(address, "light_server:SpherePredictor", **settings))
        end_with_parent(service.stop)
        service.stop_on_signals()
        service.run()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
