"""Command line: `python -m inference_server COMMAND`. Each command lives in its own module, imported when called."""

import importlib
import sys

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from .errors import UserError

COMMANDS = {
    "benchmark": "benchmark.command",
    "convert": "commands.convert",
    "evaluate": "evaluation.command",
    "importance": "commands.importance",
    "keys": "commands.keys",
    "rooms": "data.rooms.command",
    "segment": "commands.segment",
    "serve": "commands.serve",
    "status": "commands.status",
    "train": "training.command",
}
"""Command name -> module below this package that holds `command`, a plain function with typer annotations."""


class _LazyGroup(TyperGroup):
    """Imports a command's module only when it is called, so that `status` needs no torch."""

    def list_commands(self, ctx) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx, name: str) -> object:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{COMMANDS[name]}")
        if isinstance(getattr(module, "app", None), typer.Typer):
            command = typer.main.get_group(module.app)
        else:
            single = typer.Typer(add_completion=False)
            single.command(name=name)(module.command)
            command = typer.main.get_command(single)
        command.name = name
        return command


app = typer.Typer(
    cls=_LazyGroup,
    name="python -m inference_server",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Scanpick's inference server and its tools."""


def main() -> None:
    """Run a command; a UserError becomes one red sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        Console(stderr=True).print(Text.assemble(("Error: ", "red"), str(error)), soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
