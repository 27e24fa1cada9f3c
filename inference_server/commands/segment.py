"""`python -m inference_server segment`: clicks from a file, masks into a file, for scripts and pipelines."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..clicks_file import ClickedObject, read_clicks
from ..data.scans import Scan, read_scan
from ..errors import UserError
from ..files import check_writable, replacing, write_json
from ..wire.client import Client, ConnectionState, RequestError
from .connect import ClientKey, ServerKey, connect

DEFAULT_VOXEL = 0.05
LOCAL = ("default", "auto", "torch")
"""Weights, device and engine where nobody says."""

PATIENCE = 600.0
"""Seconds that one mask may take."""

Answer = tuple[np.ndarray, dict[str, float]]
"""Mask bool (N,) and seconds per stage."""


def command(
    scan: Annotated[Path, typer.Argument(help="A scan: PLY, LAS, XYZ and others.")],
    clicks: Annotated[Path, typer.Option(help="The clicks file.")],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")],
    voxel_size: Annotated[
        float | None, typer.Option(min=0.001, help="Working resolution in metres, over the file's.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Shipped name or file of weights.")] = LOCAL[0],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = LOCAL[1],
    engine: Annotated[str, typer.Option(help="torch | minkowski")] = LOCAL[2],
    server: Annotated[str | None, typer.Option(help="Use the running server at this address.")] = None,
    server_key: ServerKey = None,
    client_key: ClientKey = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Segment the objects of a scan from clicks in a file, here or on a running server.

    The clicks file is JSON:

    {"voxel_size": 0.05, "objects": [{"name": "lamp", "clicks": [{"position": [1.5, 0.7, -1.9], "positive":
    true}, {"vertex": 1234, "positive": false}]}]}

    with positions in the scan file's own coordinates, in clicking order; voxel_size may be left out. The .npz
    file gets `names` (K,), `masks` bool (K, N) and `instance` int32 (N,): the object's number, of a later
    object where two overlap, -1 where there is none.
    """
    if server is not None and (weights, device, engine) != LOCAL:
        raise UserError("--weights, --device and --engine are the server's own: leave them out with --server.")
    if server is None and (server_key is not None or client_key is not None):
        raise UserError("Keys are for a running server: give its address with --server.")
    for file in (out, json_file):
        if file is not None:
            check_writable(file)
    data = read_scan(scan)
    wanted = read_clicks(clicks, data)
    size = voxel_size or wanted.voxel_size or DEFAULT_VOXEL
    console = Console(highlight=False)
    masks = np.zeros((len(wanted.objects), len(data)), bool)
    figures = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        progress = bar.add_task("Preparing", total=len(wanted.objects))
        if server is None:
            answers = _segment_here(data, wanted.objects, size, weights, device, engine)
        else:
            answers = _segment_there(data, wanted.objects, size, server, server_key, client_key)
        for index, (entry, answer) in enumerate(zip(wanted.objects, answers, strict=True)):
            masks[index], timing = answer
            figures.append(
                {
                    "name": entry.name,
                    "clicks": len(entry.clicks),
                    "vertices": int(masks[index].sum()),
                    "seconds": timing,
                }
            )
            bar.update(progress, advance=1, description=entry.name)
    names = np.array([entry.name for entry in wanted.objects])
    instance = np.full(len(data), -1, np.int32)
    for index, mask in enumerate(masks):
        instance[mask] = index
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, names=names, masks=masks, instance=instance)
    if json_file is not None:
        report = {"scan": data.name, "points": len(data), "voxel_size": size, "objects": figures}
        write_json(json_file, report)
    table = Table("object", "clicks", "vertices", "seconds")
    for row in figures:
        table.add_row(row["name"], str(row["clicks"]), f"{row['vertices']:,}", f"{row['seconds']['total']:.2f}")
    console.print(table)
    console.print(f"Masks are in {out}", soft_wrap=True)


def _segment_here(
    scan: Scan, objects: list[ClickedObject], voxel_size: float, weights: str, device: str, engine: str
) -> Iterator[Answer]:
    from ..predictor import Predictor

    predictor = Predictor(weights, device, engine)
    predictor.set_scene(scan.positions, scan.colors, voxel_size)
    for entry in objects:
        clock = time.perf_counter()
        found = predictor.predict(entry.clicks)
        yield found.mask, {**found.timing, "total": time.perf_counter() - clock}


def _segment_there(
    scan: Scan,
    objects: list[ClickedObject],
    voxel_size: float,
    address: str,
    server_key: Path | None,
    client_key: Path | None,
) -> Iterator[Answer]:
    with closing(connect(address, server_key, client_key)) as client:
        _wait_for_server(client)
        scene = client.put_scene(scan.positions, scan.colors)
        for entry in objects:
            clock = time.perf_counter()
            request = client.predict(scene, entry.name, entry.clicks, voxel_size=voxel_size)
            try:
                found = client.wait(request, PATIENCE)
            except RequestError as error:
                raise UserError(f"'{entry.name}' could not be segmented: {error.message}") from None
            except TimeoutError as error:
                raise UserError(str(error)) from None
            yield found.mask, {**found.timing, "total": time.perf_counter() - clock}


def _wait_for_server(client: Client, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while client.state is not ConnectionState.CONNECTED:
        if time.monotonic() > deadline or client.state is ConnectionState.INCOMPATIBLE:
            raise UserError(client.state_text)
        client.poll(20)
