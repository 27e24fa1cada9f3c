"""Options that commands share to reach a running server."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from ..service.security import read_key_file
from ..wire.client import Client

ServerKey = Annotated[Path | None, typer.Option(help="The server's public key file, for a server on another machine.")]
ClientKey = Annotated[Path | None, typer.Option(help="This client's secret key file (.key_secret).")]


def connect(address: str, server_key: Path | None, client_key: Path | None) -> Client:
    """A client for an address, with the keys of these files. Raises UserError."""
    if (server_key is None) != (client_key is None):
        raise UserError("A server with keys needs both --server-key and --client-key.")
    if server_key is None:
        return Client(address)
    public, secret = read_key_file(client_key)
    if secret is None:
        raise UserError(f"{client_key} holds no secret key: give the file that ends in .key_secret.")
    return Client(address, server_key=read_key_file(server_key)[0], public_key=public, secret_key=secret)
