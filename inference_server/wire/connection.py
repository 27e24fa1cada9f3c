"""Keeps a client connected: hello, heartbeats, loss noticed within three seconds, reconnects with growing
pauses."""

import itertools
import time
import uuid
from collections.abc import Callable, Iterator

import zmq

from .events import ConnectionState, StateChanged
from .link import Link
from .protocol import ErrorCode, Message, ProtocolError, Reply, Request
from .requests import ServerInfo, read_error

PING_EVERY = 0.7
SILENCE, LONGEST_SILENCE = 2.4, 60.0
"""Seconds without a word after which a server is lost; with the polling interval, below 3 s. Where it was there all the
time, one message takes longer than that to come through: the next silence may be twice as long."""
CALM = 120.0
"""Seconds without a loss after which the next silence may be half as long again."""
HELLO_TIMEOUT = 3.0
INCOMPATIBLE_RETRY = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Connection:
    """The way to one server, whatever server process answers there.

    keys: server's public, own public and own secret CURVE key in Z85; the first None without encryption.
    on_state hears every change, on_lost that what was sent may never be answered.
    """

    def __init__(
        self,
        address: str,
        keys: tuple[str | None, str | None, str | None],
        on_state: Callable[[StateChanged], None],
        on_lost: Callable[[], None],
    ):
        self.address = address
        self.state = ConnectionState.DISCONNECTED
        self.text = "Not connected."
        self.server: ServerInfo | None = None
        self.ids = itertools.count(1)
        self._keys = keys
        self._on_state = on_state
        self._on_lost = on_lost
        # the process's own, never ended here: ending one waits for its sockets, and garbage may hold some
        self._context = zmq.Context.instance()
        self._link: Link | None = None
        self._token = uuid.uuid4().hex
        self._stepped = self._opened = self._heard = self._pinged = time.monotonic()
        self._retry_at = 0.0
        self._pause = FIRST_PAUSE
        self._patience = SILENCE
        self._calm_since = 0.0
        self._silent: str | None = None  # the instance that was lost because nothing was heard of it

    @property
    def connected(self) -> bool:
        return self.state is ConnectionState.CONNECTED

    def send(self, message: Message) -> bool:
        """False where the message can't be taken now; try again at the next step."""
        return self._link is not None and self._link.send(message)

    def step(self) -> None:
        """Open a link where one is due, judge the silence of the one there is, ping."""
        now = time.monotonic()
        if now - self._stepped > 1.0:
            # Nobody stepped: the silence in between was ours, not the server's.
            self._heard += now - self._stepped
            self._opened += now - self._stepped
        self._stepped = now
        if self._link is None:
            if now >= self._retry_at:
                self._open()
            return
        self._judge_troubles()
        if self._link is None:
            return
        if not self.connected:
            if now - self._opened > HELLO_TIMEOUT:
                self._drop(HELLO_TIMEOUT)
                if self.state is ConnectionState.CONNECTING:
                    self._set(self.state, f"No server answers at {self.address}: start it, or check the address.")
        elif now - self._heard > self._patience:
            self._silent = self.server.instance
            self._lose(f"The server at {self.address} stopped answering.")
        elif now - self._pinged > PING_EVERY and self.send(Message(Request.PING, next(self.ids))):
            self._pinged = now
        if self.connected and self._patience > SILENCE and now - self._calm_since > CALM:
            self._patience, self._calm_since = max(self._patience / 2, SILENCE), now

    def wait(self, timeout_ms: int) -> None:
        """Return when something has arrived or the time is over."""
        if self._link is not None:
            self._link.wait(timeout_ms)
        elif timeout_ms:
            time.sleep(min(timeout_ms / 1000, max(self._retry_at - time.monotonic(), 0.0)))

    def receive(self, deadline: float) -> Iterator[Message | ProtocolError]:
        """What has arrived and is not the connection's own business, until the deadline (of perf_counter)."""
        while self._link is not None and time.perf_counter() < deadline:
            message = self._link.receive()
            if message is None:
                return
            self._heard = time.monotonic()
            try:
                if isinstance(message, ProtocolError) or not self._handle(message):
                    yield message
            except ProtocolError as error:
                yield error

    def refuse(self, sentence: str) -> None:
        """The two sides speak different versions: say so, and look again now and then."""
        self._drop(INCOMPATIBLE_RETRY)
        self._set(ConnectionState.INCOMPATIBLE, sentence)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self.state, self.text, self.server = ConnectionState.DISCONNECTED, "Not connected.", None

    def _handle(self, message: Message) -> bool:
        """True for what concerns only the connection."""
        if message.type == Reply.INFO:
            self.server = ServerInfo.read(message)
            self._pause = FIRST_PAUSE
            self._judge_silence()
            runs = f"{self.server.device}, {self.server.model}"
            self._set(
                ConnectionState.CONNECTED,
                f"Connected: {runs if self.server.ready else 'the server is loading its model'}",
            )
        elif message.type == Reply.WHO:
            self._lose("The server was restarted, or heard nothing for a minute.")
            self._retry_at = 0.0
        elif message.type == Reply.BYE:
            self._lose("The server was stopped.")
        elif message.type == Reply.ERROR and not self.connected:
            code, sentence = read_error(message)
            if code is ErrorCode.UNSUPPORTED_VERSION:
                self.refuse(sentence)
            else:
                self._drop(LONGEST_PAUSE)
                self._set(self.state, sentence)
        else:
            return message.type == Reply.PONG
        return True

    def _open(self) -> None:
        try:
            self._link = Link(self._context, self.address, *self._keys)
        except (zmq.ZMQError, ValueError):
            self._retry_at = time.monotonic() + INCOMPATIBLE_RETRY
            self._set(
                ConnectionState.DISCONNECTED,
                f"'{self.address}' can't be connected to with these keys: an address looks like "
                "tcp://127.0.0.1:47600, a key has the 40 characters that the keys command prints.",
            )
            return
        self._opened = self._heard = self._pinged = time.monotonic()
        self.send(Message(Request.HELLO, next(self.ids), {"client": self._token}))
        if self.state is ConnectionState.DISCONNECTED:
            self._set(ConnectionState.CONNECTING, f"Looking for a server at {self.address}.")

    def _judge_troubles(self) -> None:
        while self._link is not None and (trouble := self._link.trouble()) is not None:
            if trouble == zmq.Event.DISCONNECTED:
                if self.connected:
                    self._lose(f"The connection to {self.address} broke.")
            else:
                self._drop(LONGEST_PAUSE)
                self._set(
                    ConnectionState.CONNECTING,
                    f"The server at {self.address} and this client don't accept each other's keys: compare them "
                    "with what the keys command printed.",
                )

    def _judge_silence(self) -> None:
        if self._silent is not None:
            was_there = self._silent == self.server.instance
            self._patience = min(2 * self._patience, LONGEST_SILENCE) if was_there else SILENCE
            self._calm_since = time.monotonic()
            self._silent = None

    def _lose(self, why: str) -> None:
        was_connected = self.connected
        self._drop(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if was_connected:
            self._set(ConnectionState.LOST, f"{why} Clicks wait until it is back.")

    def _drop(self, pause: float) -> None:
        self._link.close()
        self._link = None
        self._retry_at = time.monotonic() + pause
        self._on_lost()

    def _set(self, state: ConnectionState, text: str) -> None:
        if (state, text) != (self.state, self.text):
            self.state, self.text = state, text
            self._on_state(StateChanged(state, text))
