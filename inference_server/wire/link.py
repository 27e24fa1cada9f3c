"""One connection attempt: a DEALER socket with its monitor. Nothing here blocks."""

import zmq
from zmq.utils.monitor import recv_monitor_message

from .address import is_ipv6
from .protocol import Message, ProtocolError, decode, encode

_WATCHED = (
    zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)


class Link:
    """A socket that is thrown away with the connection it stood for.

    server_key, public_key, secret_key: CURVE keys in Z85 (40 characters), or all None for a loopback server.
    """

    def __init__(
        self,
        context: zmq.Context,
        address: str,
        server_key: str | None,
        public_key: str | None,
        secret_key: str | None,
    ):
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.ipv6 = is_ipv6(address)
        self._socket.reconnect_ivl = 100
        self._socket.reconnect_ivl_max = 1000
        if server_key:
            self._socket.curve_serverkey = server_key.encode()
            self._socket.curve_publickey = (public_key or "").encode()
            self._socket.curve_secretkey = (secret_key or "").encode()
        self._monitor = self._socket.get_monitor_socket(_WATCHED)
        self._monitor.linger = 0
        self._socket.connect(address)

    def send(self, message: Message) -> bool:
        """Hand a message to the socket's own thread. False where its queue is full: try again at the next
        poll."""
        try:
            self._socket.send_multipart(encode(message), zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        return True

    def wait(self, timeout_ms: int) -> None:
        """Return when something has arrived or the time is over."""
        self._socket.poll(timeout_ms)

    def receive(self) -> Message | ProtocolError | None:
        """The next message, the reason why it can't be read, or None where there is none."""
        try:
            frames = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return None
        try:
            return decode([frame.buffer for frame in frames])
        except ProtocolError as error:
            return error

    def trouble(self) -> zmq.Event | None:
        """What the monitor saw: the connection broke, or the handshake was refused. None where all is
        well."""
        try:
            return recv_monitor_message(self._monitor, zmq.DONTWAIT)["event"]
        except zmq.Again:
            return None

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
