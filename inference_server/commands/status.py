"""`python -m inference_server status`: what a running server does."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..files import write_json
from ..service.state import exposition
from ..wire.client import Client, RequestError
from ..wire.protocol import DEFAULT_ADDRESS
from .connect import ClientKey, ServerKey, connect

WATCH_EVERY = 1.0


def command(
    address: Annotated[str, typer.Option(help="The server's address.")] = DEFAULT_ADDRESS,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl+C.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as JSON; - is the screen.")
    ] = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print the figures in Prometheus' text format.")
    ] = False,
    server_key: ServerKey = None,
    client_key: ClientKey = None,
) -> None:
    """Show a running server's workers, clients, scans, memory, queue and times."""
    if sum((watch, json_file is not None, prometheus)) > 1:
        raise UserError("Choose one of --watch, --json and --prometheus.")
    client = connect(address, server_key, client_key)
    try:
        state = _ask(client)
        if json_file is not None:
            _write_json(state, json_file)
        elif prometheus:
            sys.stdout.write(exposition(state))
        elif watch:
            _watch(client, state)
        else:
            Console().print(tables(state))
    finally:
        client.close()


def _ask(client: Client) -> dict:
    try:
        return client.status(timeout=4.0)
    except TimeoutError as error:
        raise UserError(str(error)) from None
    except RequestError as error:
        raise UserError(error.message) from None


def _write_json(state: dict, file: Path) -> None:
    if str(file) == "-":
        sys.stdout.write(json.dumps(state, indent=2) + "\n")
    else:
        write_json(file, state)


def _watch(client: Client, state: dict) -> None:
    with Live(tables(state), screen=sys.stdout.isatty(), auto_refresh=False) as live:
        try:
            while True:
                until = time.monotonic() + WATCH_EVERY
                while time.monotonic() < until:
                    client.poll(50)
                live.update(_view(client), refresh=True)
        except KeyboardInterrupt:
            return


def _view(client: Client) -> RenderableType:
    """What a server does, or why it does not tell; it may come back."""
    try:
        return tables(client.status(timeout=WATCH_EVERY))
    except TimeoutError as error:
        return str(error)
    except RequestError as error:
        return error.message


def tables(state: dict) -> RenderableType:
    """A state as it is shown on the screen."""
    runs = f"{state['device']}, {state['model']}, {state['engine']}" if state["ready"] else "loading its model"
    counts = ", ".join(f"{number} {what}" for what, number in sorted(state["counts"].items())) or "nothing yet"
    memory, limit = state["memory"]["scenes"], state["limits"]["memory_bytes"]
    head = Table.grid(padding=(0, 2))
    head.add_row("Server", f"{state['address']}, version {state['version']}, {runs}")
    head.add_row("Up for", f"{state['uptime']:.0f} s, {state['workers_replaced']} workers replaced")
    head.add_row("Answered", counts)
    head.add_row("Waiting", f"{state['waiting']} requests, {state['uploads']} uploads")
    head.add_row("Memory", f"scans {_size(memory)} of {_size(limit)}, service {_size(state['memory']['service'])}")
    shown, kept = len(state["scenes"]), state["scenes_kept"]
    return Group(
        head,
        _table("Workers", ("name", "state", "device", "memory", "process"), state["workers"]),
        _table("Clients", ("client", "waiting", "running", "scenes", "silent"), state["clients"]),
        _table(
            "Scans" if shown == kept else f"Scans: {shown} used last of {kept:,}",
            ("scene", "points", "bytes", "idle"),
            state["scenes"],
        ),
        _table(
            "Milliseconds",
            ("stage", "p50", "p95"),
            [
                {"stage": stage, **{key: f"{1000 * times[key]:.1f}" for key in ("p50", "p95")}}
                for stage, times in state["seconds"].items()
            ],
        ),
    )


def _table(title: str, columns: tuple[str, ...], rows: list[dict]) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        cells = (_size(row[key]) if key in ("memory", "bytes") else str(row[key]) for key in columns)
        table.add_row(*map(Text, cells))
    return table


def _size(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"
