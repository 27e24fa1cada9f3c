"""`python -m inference_server serve`: answers add-ons and scripts until it is stopped."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..files import check_writable
from ..service.handles import allow_many_handles
from ..service.log import default_log_file
from ..service.loop import Service
from ..service.settings import Settings, default_memory
from ..wire.protocol import DEFAULT_ADDRESS
from ..wire.requests import ServerInfo


def command(
    address: Annotated[
        str, typer.Option(help="Where to listen; anything but loopback needs --keys.")
    ] = DEFAULT_ADDRESS,
    weights: Annotated[str, typer.Option(help="Shipped name or file of weights.")] = "default",
    device: Annotated[
        str,
        typer.Option(
            "--device", "--devices", help="auto, cpu, cuda, cuda:1, mps; several with commas give a worker each."
        ),
    ] = "auto",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes for each device.")] = 1,
    engine: Annotated[str, typer.Option(help="torch | minkowski")] = "torch",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16")] = "auto",
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Adapt the network to each object's clicks, also where nobody asks for it.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of a worker.")] = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GB for scans.")] = None,
    max_points: Annotated[int, typer.Option(min=1, help="Most points of one scan.")] = Settings.points,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder of keys (see the keys command): only known clients may connect."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Log file instead of the one in the user's settings folder.")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="File kept up to date for monitoring, in Prometheus' text format (ending in .prom)."),
    ] = None,
    idle_exit: Annotated[float | None, typer.Option(min=1, help="End after so many seconds without a client.")] = None,
) -> None:
    """Run the inference server. It listens on this machine only; other machines need keys.

    Stop it with Ctrl+C: what runs is finished first, a second Ctrl+C ends it at once.
    """
    options = {"weights": weights, "engine": engine, "dtype": dtype, "adapt": adapt}
    devices = [name.strip() for name in device.split(",") if name.strip()]
    if not devices:
        raise UserError("Name a device, such as --device auto.")
    settings = Settings(
        address,
        workers=tuple({**options, "device": name} for name in devices for _ in range(workers)),
        threads=threads,
        keys=keys,
        log_file=log or default_log_file(),
        figures_file=figures,
        points=max_points,
        memory=default_memory() if memory is None else int(memory * 1e9),
        idle_exit=idle_exit,
    )

    for file in (log, figures):
        if file is not None:
            check_writable(file)

    def tell(info: ServerInfo) -> None:
        # a full disk or a closed pipe behind the screen must not end the server
        with suppress(OSError):
            print(
                f"Serving on {address}: {info.device}, {info.model}, {info.engine} engine, scanpick "
                f"{info.version}. Ctrl+C stops it.",
                flush=True,
            )

    allow_many_handles()
    service = Service(settings, tell)
    service.stop_on_signals()
    service.run()
