"""`python -m inference_server benchmark WHAT`: one module per subject."""

import typer

from . import engine

app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)
app.command("engine")(engine.command)
