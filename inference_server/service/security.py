"""Who may talk to the service: loopback only, or CURVE keys and a list of the clients that are let in."""

import os
import re
import struct
from contextlib import suppress
from pathlib import Path

import zmq
import zmq.auth
from zmq.utils import z85

from ..errors import UserError
from ..wire.address import is_loopback, split_address
from ..wire.location import config_folder

SERVER_NAME = "server"
CLIENTS_FOLDER = "clients"
KEY_BYTES = 32
HOW_TO_MAKE_KEYS = "make keys with 'python -m inference_server keys' and start again with --keys"


def default_keys_folder() -> Path:
    return config_folder() / "keys"


def check_address(address: str, keys: Path | None) -> None:
    """Refuse an address that can't be bound, or that other machines can reach where there are no keys."""
    parts = split_address(address)
    if parts is None:
        raise UserError(f"'{address}' is no address: write it as tcp://127.0.0.1:47600.")
    if keys is None and not is_loopback(parts[0]):
        raise UserError(
            f"On {parts[0]} other machines can reach the server, so it asks for keys: {HOW_TO_MAKE_KEYS}, or "
            "use tcp://127.0.0.1."
        )


def make_keys(folder: Path, name: str) -> tuple[Path, bool]:
    """Make a pair of keys named `name`; returns the secret file and whether it is new. Existing keys stay as
    they are: of a client whose secret file was handed over, the public file is returned.

    The server's lie in the folder, each client's in its folder `clients`; secret files are readable by their
    owner only. Raises UserError.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UserError(f"'{name}' can't name a key: use letters, digits, '.', '_' and '-'.")
    place = folder if name == SERVER_NAME else folder / CLIENTS_FOLDER
    secret_file, public_file = place / f"{name}.key_secret", place / f"{name}.key"
    try:
        _refuse_another_case(place, name)
        if secret_file.is_file():
            return secret_file, False
        if public_file.is_file():
            if name == SERVER_NAME:
                raise UserError(
                    f"{secret_file} is gone, and the clients know its pair: put it back, or delete {public_file} and "
                    "run this again for a new pair."
                )
            return public_file, False
        place.mkdir(parents=True, exist_ok=True)
        mask = os.umask(0o077)
        try:
            zmq.auth.create_certificates(place, name)
        finally:
            os.umask(mask)
    except OSError as error:
        raise UserError(f"Keys can't be written in {place}: {error.strerror}; choose another folder.") from None
    return secret_file, True


def _refuse_another_case(place: Path, name: str) -> None:
    """Raise UserError for a new name that many disks (Windows', macOS's) take for that of keys which exist."""
    names = {file.stem for file in place.glob("*.key*")}
    if name not in names:
        for other in names:
            if other.lower() == name.lower():
                raise UserError(
                    f"There are keys named '{other}', and many disks don't tell '{name}' from that: use that name, or "
                    "choose another."
                )


def read_key_file(file: Path) -> tuple[str, str | None]:
    """Public and, where the file has it, secret key in Z85. Raises UserError."""
    try:
        public, secret = zmq.auth.load_certificate(file)
        return _checked(public), _checked(secret) if secret else None
    except OSError as error:
        raise UserError(
            f"The key file {file} can't be read ({error.strerror or 'no such file'}): check its "
            f"place and who may read it, or {HOW_TO_MAKE_KEYS}."
        ) from None
    except (ValueError, LookupError, struct.error):  # what pyzmq raises over a line without '=', and over a wrong sign
        raise UserError(f"{file} is no key file, or damaged; {HOW_TO_MAKE_KEYS}.") from None


def _checked(key: bytes) -> str:
    """A key that a file has in Z85. Raises ValueError, LookupError or struct.error where it is none."""
    if len(z85.decode(key)) != KEY_BYTES:
        raise ValueError
    return key.decode()


class Gate:
    """CURVE on a socket, and the list of the clients' public keys: every .key file in the folder `clients`.

    A client's file may be added or taken away while the server runs. The gate answers libzmq's questions
    about new connections (ZAP, ZeroMQ RFC 27) on a socket that the service's own loop polls.
    """

    def __init__(self, context: zmq.Context, socket: zmq.Socket, keys: Path):
        public, secret = read_key_file(keys / f"{SERVER_NAME}.key_secret")
        if secret is None:
            raise UserError(f"{keys / SERVER_NAME}.key_secret holds no secret key: {HOW_TO_MAKE_KEYS}.")
        self._clients = keys / CLIENTS_FOLDER
        self._seen: set[tuple[str, int, int, int]] = set()
        self._allowed: dict[bytes, str] = {}
        self.refresh()
        if not self._allowed:
            raise UserError(
                f"No client is let in: {self._clients} holds no public key; make a client's keys with "
                "'python -m inference_server keys --client NAME'."
            )
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")
        socket.zap_domain = b"clients"
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = public.encode(), secret.encode()

    def refresh(self) -> None:
        """Read the list of clients again where a file of it changed; what can't be read lets nobody in."""
        files, seen = list(self._clients.glob("*.key")), set()
        for file in files:
            with suppress(OSError):
                facts = file.stat()
                # ctime too: a file may get other content of the same size, or another owner
                seen.add((file.name, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size))
        if seen == self._seen:
            return
        self._allowed, self._seen = {}, seen
        for file in files:
            with suppress(UserError):
                public, _ = read_key_file(file)
                self._allowed[z85.decode(public)] = file.stem

    def answer(self) -> str | None:
        """Answer one question; returns the name of the client that was let in, None for one that was not."""
        version, request, _, _, _, mechanism, *credentials = self.socket.recv_multipart()
        name = None
        try:
            self.refresh()
            name = self._allowed.get(credentials[0]) if mechanism == b"CURVE" and credentials else None
        finally:  # a question without an answer would be the last one
            status = [b"200", b"OK", name.encode(), b""] if name else [b"400", b"Unknown key", b"", b""]
            self.socket.send_multipart([version, request, *status])
        return name

    def close(self) -> None:
        self.socket.close(0)
