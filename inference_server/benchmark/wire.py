"""`benchmark wire`: a scan's way to the server beside a plain copy through a ZeroMQ socket, and what it costs
there.

The server is a real one in its own process, with the shipped weights. Memory is the proportional share (PSS)
of the service, its workers and their shared memory, sampled while the scan arrives and is clicked for the
first time.
"""

import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import zmq
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..files import write_json
from ..wire.client import Client
from ..wire.protocol import CHUNK_POINTS, Click
from .server import server

SIZES = (20_000_000,)
SAMPLE_EVERY = 0.02
EXTENT = 60.0
"""Metres; with a wall's height the points then lie about as dense as a building's scan."""


def command(
    points: Annotated[list[int], typer.Option(help="Sizes to measure; may be given more than once.")] = SIZES,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Upload of a coloured scan over loopback beside a plain copy, and the server's memory per point.

    index: seconds in which the first click sorts the scan, once; they are part of the first click's.
    """
    console = Console()
    jobs = [size for size in points for _ in range(repeats)]
    runs: dict[int, list[dict]] = {}
    for size in track(jobs, "Measuring", console=console):
        runs.setdefault(size, []).append(_measure(size))
    rows = [
        {"points": size, **{key: statistics.median(run[key] for run in found) for key in found[0]}}
        for size, found in runs.items()
    ]
    table = Table(title="Coloured scans over loopback, medians")
    for title in ("points", "copy s", "upload s", "ratio", "index s", "first click s", "idle MB", "B/point", "peak"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            f"{row['points']:,}",
            f"{row['copy_seconds']:.2f}",
            f"{row['upload_seconds']:.2f}",
            f"{row['ratio']:.2f}",
            f"{row['index_seconds']:.2f}",
            f"{row['first_click_seconds']:.2f}",
            f"{row['idle_bytes'] / 1e6:.0f}",
            f"{row['bytes_per_point']:.1f}",
            f"{row['peak_bytes_per_point']:.1f}",
        )
    console.print(table)
    if json_file:
        write_json(json_file, {"rows": rows})


def _measure(points: int) -> dict[str, float]:
    positions, colors = _scan(points)
    copy_seconds = _plain_copy(positions, colors)
    with _server() as (client, _):
        upload_seconds, _ = _upload(client, positions, colors)
    # Watching memory takes time, so a second server is watched.
    with _server() as (client, process):
        memory = _Memory(process)
        idle = memory.now()
        with memory:
            _, scene = _upload(client, positions, colors)
            middle = int(np.square(positions - positions.mean(0)).sum(1).argmin())
            click = Click(tuple(positions[middle].tolist()), True, middle)
            clock = time.perf_counter()
            answer = client.wait(client.predict(scene, "a", [click], voxel_size=0.05, probabilities=True), 600)
            first_click_seconds = time.perf_counter() - clock
        resident = memory.now()
    return {
        "copy_seconds": copy_seconds,
        "upload_seconds": upload_seconds,
        "ratio": upload_seconds / copy_seconds,
        "index_seconds": answer.timing["prepare"],
        "first_click_seconds": first_click_seconds,
        "idle_bytes": idle,
        "bytes_per_point": (resident - idle) / points,
        "peak_bytes_per_point": (memory.peak - idle) / points,
    }


def _upload(client: Client, positions: np.ndarray, colors: np.ndarray) -> tuple[float, str]:
    """Seconds until the server has a scene, hashing included, and its key."""
    clock = time.perf_counter()
    scene = client.put_scene(positions, colors)
    while client.upload_progress(scene) < 1:
        client.poll(1)
    return time.perf_counter() - clock, scene


def _scan(points: int) -> tuple[np.ndarray, np.ndarray]:
    """A floor and walls of a large hall, in the order of a scanner that walks along it."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 1, (points, 3)).astype(np.float32) * np.array([EXTENT, EXTENT, 3], np.float32)
    wall = rng.random(points) < 0.5
    positions[~wall, 2] = rng.normal(0, 0.004, int((~wall).sum()))
    positions[wall, 1] = np.round(positions[wall, 1] / 6) * 6
    positions = positions[np.argsort(positions[:, 0])]
    return positions, rng.integers(0, 256, (points, 3), np.uint8)


def _plain_copy(positions: np.ndarray, colors: np.ndarray) -> float:
    """Seconds for the same bytes in the same pieces through a socket into an array of another process."""
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.linger = 0
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    process = multiprocessing.get_context("spawn").Process(
        target=_receive_copy, args=(port, positions.nbytes + colors.nbytes), daemon=True
    )
    process.start()
    socket.recv()
    clock = time.perf_counter()
    for start in range(0, len(positions), CHUNK_POINTS):
        part = slice(start, start + CHUNK_POINTS)
        socket.send_multipart([positions[part], colors[part]], copy=False)
    socket.send(b"")
    socket.recv()
    seconds = time.perf_counter() - clock
    socket.close()
    context.term()
    process.join()
    return seconds


def _receive_copy(port: int, size: int) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.connect(f"tcp://127.0.0.1:{port}")
    kept, filled = np.empty(size, np.uint8), 0
    socket.send(b"")
    while len(frames := socket.recv_multipart(copy=False)) > 1:
        for frame in frames:
            kept[filled : filled + len(frame)] = np.frombuffer(frame.buffer, np.uint8)
            filled += len(frame)
    socket.send(b"")
    socket.close()
    context.term()


@contextmanager
def _server() -> Iterator[tuple[Client, int]]:
    """A client of a fresh server, and the server's process."""
    with (
        tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch,
        server(Path(scratch), "cpu") as running,
        closing(Client(running.address)) as client,
    ):
        running.wait_until_ready(client)
        yield client, running.process.pid


class _Memory:
    """Memory of a process and its descendants; `peak` is the most it was while in a with-block. Linux
    only."""

    def __init__(self, process: int):
        self._process = process
        self._done = threading.Event()
        self.peak = 0

    def now(self) -> int:
        """Bytes, shared ones counted once; 0 where the system doesn't tell."""
        return sum(map(_proportional_size, [self._process, *_descendants(self._process)]))

    def __enter__(self) -> "_Memory":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY):
            self.peak = max(self.peak, self.now())


def _proportional_size(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(text.partition("\nPss:")[2].split()[0]) * 1024


def _descendants(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *_descendants(child))]
