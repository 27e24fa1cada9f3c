"""`benchmark recovery`: the server is killed in the middle of a click; how long until the artist has the mask.

What the add-on does is done here: it sees its server's process end, starts it again, and its client finds the new one,
sends the scan and the click again. The machine's time to import PyTorch is most of what is measured.
"""

import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from ..errors import UserError
from ..files import write_json
from ..wire.client import Click, Client, RequestError
from . import server
from .click import room

NOTICED_AFTER = 0.4
"""Seconds until the add-on sees that its server has ended and starts it again, at the most."""
TARGET = 10.0


def command(
    points: Annotated[int, typer.Option(min=1000, help="Vertices of the scan.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="How often the server is killed; the median counts.")] = 3,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Seconds from the death of a server in the middle of a click to the mask: start, upload and click included."""
    console = Console()
    scan = room(points)
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch:
        runs = [_measure(scan, Path(scratch)) for _ in track(range(repeats), "Killing servers", console=console)]
    median = statistics.median(runs)
    spread = f"{min(runs):.1f} to {max(runs):.1f}"
    console.print(f"Mask {median:.1f} s after the server's death ({spread}, target {TARGET:g})")
    if json_file:
        report = {"points": points, "seconds": runs, "median": median, "target": TARGET}
        write_json(json_file, report)


def _measure(scan: tuple[np.ndarray, np.ndarray, int], scratch: Path) -> float:
    positions, colors, vertex = scan
    click = Click(tuple(map(float, positions[vertex])), True, vertex)
    running = server.start(scratch)
    try:
        with closing(Client(running.address)) as client:
            running.wait_until_ready(client)
            scene = client.put_scene(positions, colors)
            before = client.wait(client.predict(scene, "a", [click], voxel_size=0.05), 600)
            request = client.predict(scene, "a", [click], voxel_size=0.05)
            _poll_until_busy(client)
            running.process.kill()
            running.process.wait()
            clock = time.monotonic()
            while time.monotonic() - clock < NOTICED_AFTER:
                client.poll(20)
            running = server.start(scratch, running.address)
            after = client.wait(request, 600)
            seconds = time.monotonic() - clock
    except (RequestError, TimeoutError) as error:
        raise UserError(str(error)) from error
    finally:
        running.stop()
    if not np.array_equal(before.mask, after.mask):
        raise UserError("The mask after the server's death is not that before it; this is an error of Scanpick's.")
    return seconds


def _poll_until_busy(client: Client) -> None:
    until = time.monotonic() + 10
    while client.status()["workers"][0]["state"] != "busy":
        if time.monotonic() > until:
            raise UserError("The server was never seen at work on the click; try again.")
