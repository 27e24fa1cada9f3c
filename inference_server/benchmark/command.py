"""`python -m inference_server benchmark WHAT`: one module per subject."""

import typer

from . import click, engine, read, recovery, redraw, seat, separate, wire

app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)
app.command("engine")(engine.command)
app.command("wire")(wire.command)
app.command("click")(click.command)
app.command("recovery")(recovery.command)
app.command("seat")(seat.command)
app.command("read")(read.command)
app.command("redraw")(redraw.command)
app.command("separate")(separate.command)
