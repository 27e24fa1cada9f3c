"""`python -m inference_server keys`: the keys by which a server and its clients know each other."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UserError
from ..service.security import SERVER_NAME, default_keys_folder, make_keys, read_key_file


def command(
    client: Annotated[list[str], typer.Option(help="Name of a client to make keys for; may be repeated.")] = (
        "client",
    ),
    folder: Annotated[Path | None, typer.Option(help="Where keys lie; default: the user's settings folder.")] = None,
) -> None:
    """Make CURVE keys for a server that other machines use, and for its clients. Keys that exist stay as they
    are.

    Give each client its own file (the add-on's preferences and --client-key take it) and the server's public
    key.
    A client is shut out again by deleting its .key file.
    """
    folder = folder or default_keys_folder()
    console = Console(highlight=False, soft_wrap=True)
    server_file, is_new = make_keys(folder, SERVER_NAME)
    public, _ = read_key_file(server_file)
    console.print(f"Server key ({'new' if is_new else 'kept'}): {server_file}")
    console.print(f"  public: {public}", markup=False)
    for name in client:
        if name == SERVER_NAME:
            raise UserError(f"'{name}' is the server itself: give the client another name.")
        client_file, is_new = make_keys(folder, name)
        public, secret = read_key_file(client_file)
        kept = "kept" if secret else "kept; its secret file was handed over, delete this one to renew the pair"
        console.print(f"Client {name} ({'new' if is_new else kept}): {client_file}")
        console.print(f"  public: {public}", markup=False)
        if is_new:
            console.print(f"  secret: {secret}", markup=False)
    console.print("Start the server with:")
    console.print(f"  python -m inference_server serve --address tcp://0.0.0.0:47600 --keys {_quoted(folder)}")


def _quoted(folder: Path) -> str:
    """As every shell takes it."""
    return f'"{folder}"' if re.search(r"[^\w./\\:~-]", str(folder)) else str(folder)
