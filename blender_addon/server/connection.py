"""The one client of this Blender, and what the panel says about it."""

import socket
import time

import bpy

from .. import preferences
from ..wire import address as wire_address
from ..wire.address import split_address
from ..wire.client import Client, ConnectionState, Event
from .process import ServerProcess

GRACE = 0.4  # seconds in which a server that runs already has answered
MISSED = 2.0  # seconds without one while clicks wait: time to come back for a server that others start


class Connection:
    """Owns the client and, where it started one, the server process. State is `state`, in words `text`."""

    def __init__(self) -> None:
        self.process = ServerProcess()
        self.client: Client | None = None
        self.trouble = ""
        self.port_taken = False
        self._broken = False  # what is installed here does not start a server
        self._wanted_at: float | None = None
        self._ended: str | None = None
        self._missed_at: float | None = None

    @property
    def state(self) -> ConnectionState:
        return self.client.state if self.client is not None else ConnectionState.DISCONNECTED

    @property
    def text(self) -> str:
        if self.trouble:
            return self.trouble
        if self.client is None:
            return "Not connected"
        if self.state is ConnectionState.CONNECTING and self.process.running:
            return self.process.doing
        return self.client.state_text

    def open(self) -> str | None:
        """Make the client if there is none. Returns a sentence on failure."""
        settings = preferences.get()
        address = settings.address.strip()
        refused = refusal(address)
        if refused:
            self.trouble = refused
            return refused
        if self.client is None:
            self.client = Client(
                address,
                server_key=settings.server_key.strip() or None,
                public_key=settings.public_key.strip() or None,
                secret_key=settings.secret_key.strip() or None,
            )
            self.trouble = ""
        return None

    def ensure_server(self) -> str | None:
        """Before a click: be connected, or have a server on its way. Returns a sentence where neither can be."""
        failed = self.open()
        if failed or self.state is ConnectionState.CONNECTED:
            return failed
        self.client.poll()
        if self.state is ConnectionState.INCOMPATIBLE:
            return self.client.state_text
        settings = preferences.get()
        managed = is_loopback(settings.address) and settings.start_server
        if self.process.running or (managed and not self.process.problem()):
            self._want_server()
            return None
        if self.state is ConnectionState.LOST or self._answers_soon():
            return None
        if managed:
            return self.process.problem()
        return f"No server answers at {settings.address}: start it there, or check the address in the preferences."

    def start(self) -> str | None:
        """The Start Server button: connect, and start a server here unless one answers."""
        failed = self.open()
        if failed or self.state is ConnectionState.CONNECTED:
            return failed
        if is_loopback(preferences.get().address):
            problem = self.process.problem()
            if problem and not self._answers_soon():
                return problem
            self._want_server()
        return None

    def install(self) -> str | None:
        """The Install Again button: set the server's environment up again and start the server, in one process."""
        failed = self.open()
        if failed or self.process.running or self.state is ConnectionState.CONNECTED:
            return failed
        if not bpy.app.online_access:
            return (
                "Installing the server needs the internet, and Blender is set to stay offline: allow online access in "
                "Preferences > System > Network."
            )
        self._forget_trouble()
        return self.process.install(preferences.get().address.strip())

    @property
    def installable(self) -> bool:
        """Whether the server that the preferences name can be installed again from here."""
        return is_loopback(preferences.get().address) and self.process.installable

    @property
    def remedy(self) -> str:
        """The operator that may mend what keeps the server away, for a button."""
        address = preferences.get().address.strip()
        if self.port_taken:
            return "scanpick.another_port"
        if self.installable and (self._broken or self.process.problem()):
            return "scanpick.install_again"
        if refusal(address) or (is_loopback(address) and self.process.problem()):
            return "scanpick.show_preferences"
        return "scanpick.server_start"

    def _want_server(self) -> None:
        if self._wanted_at is None:
            self._wanted_at = time.monotonic()

    def _miss_server(self) -> None:
        now = time.monotonic()
        if self._missed_at is None:
            self._missed_at = now
        elif now - self._missed_at > MISSED:
            self._missed_at = now
            settings = preferences.get()
            managed = is_loopback(settings.address) and settings.start_server
            if managed and not self.process.problem() and not is_taken(settings.address.strip()):
                self._want_server()

    def _answers_soon(self) -> bool:
        for _ in range(6):
            self.client.poll(20)
            if self.state is ConnectionState.CONNECTED:
                return True
        return False

    def poll(self, clicks_wait: bool = False) -> list[Event]:
        """What happened since the last call. Starts the wanted server, one of ours that died again, and one in place of
        another Blender's that is gone while clicks wait."""
        if self.client is None:
            return []
        events = self.client.poll()
        if self.state is ConnectionState.CONNECTED:
            self._forget_trouble()
            self.process.answered()
        self._ended = self.process.ended() or self._ended
        if self._ended and self.state is not ConnectionState.CONNECTED:  # which it notices a moment later
            self.trouble, self._ended = self._ended, None
            self.port_taken = is_taken(preferences.get().address.strip())
            if self.port_taken:
                self.trouble = f"Another program uses {preferences.get().address}: choose another port, or end it."
            elif self.process.may_restart():
                self._want_server()
            else:
                self._broken, self._wanted_at = True, None
        if clicks_wait and self.state is ConnectionState.LOST and not self.process.running and not self.trouble:
            self._miss_server()
        else:
            self._missed_at = None
        if self._wanted_at is not None and time.monotonic() - self._wanted_at > GRACE and not self.process.running:
            self._wanted_at = None
            self.trouble = self.process.start(preferences.get().address.strip()) or ""
            self._broken = bool(self.trouble)
        return events

    def reconnect(self) -> None:
        """Address or keys changed: leave the old server; the next click finds the new one."""
        self.close()
        self.process.leave(preferences.get().address.strip())
        self._ended = None
        self._forget_trouble()

    def _forget_trouble(self) -> None:
        self.trouble, self.port_taken, self._broken, self._wanted_at = "", False, False, None

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None

    def shut_down(self) -> None:
        """Blender ends, or the add-on is disabled."""
        self.close()
        self.process.stop()


def is_loopback(address: str) -> bool:
    parts = split_address(address.strip())
    return parts is not None and wire_address.is_loopback(parts[0])


def is_taken(address: str) -> bool:
    """Whether a program listens on an address of this machine."""
    try:
        with socket.create_connection(split_address(address), timeout=0.1):
            return True
    except OSError:
        return False


def free_address() -> str:
    """An address of this machine with a port that no program uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def refusal(address: str) -> str | None:
    """A sentence where Blender's settings do not allow this address. Loopback is not the internet."""
    parts = split_address(address)
    if parts is None:
        return f"“{address}” is not a server address: it looks like tcp://127.0.0.1:47600."
    if not is_loopback(address) and not bpy.app.online_access:
        return (
            f"The server {parts[0]} is on another machine, and Blender is set to stay offline: allow online "
            "access in Preferences > System > Network."
        )
    return None
