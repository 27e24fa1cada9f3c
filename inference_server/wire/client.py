"""The client: sends scenes and clicks, brings masks back, survives the loss of its server. One thread, never blocks.

client = Client()
scene = client.put_scene(positions, colors)
request = client.predict(scene, "lamp", [Click((x, y, z), True)], voxel_size=0.05)
for event in client.poll(): ...          # from a timer; or: client.wait(request, timeout=60).mask
"""

import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import zmq

from .events import (
    ConnectionState,
    Event,
    MaskReady,
    Queued,
    RequestError,
    RequestFailed,
    StateChanged,
    UploadProgress,
)
from .link import Link
from .protocol import (
    DEFAULT_ADDRESS,
    Arguments,
    Click,
    ErrorCode,
    Message,
    ProtocolError,
    Reply,
    Request,
)
from .requests import Predict, PutScene, ServerInfo, read_error, read_mask
from .upload import Stage, Upload

__all__ = [
    "Client",
    "Click",
    "ConnectionState",
    "Event",
    "MaskReady",
    "Queued",
    "RequestError",
    "RequestFailed",
    "ServerInfo",
    "StateChanged",
    "UploadProgress",
]

PING_EVERY = 0.7
SILENCE = 2.4
"""Seconds without a word after which a server is lost; with the polling interval, below 3 s."""
HELLO_TIMEOUT = 3.0
BUDGET = 0.008
"""Seconds that one poll spends on hashing, sending and receiving each."""


@dataclass
class _Pending:
    key: str
    predict: Predict
    sent_at: float | None = None
    tries: int = 0


class Client:
    """Connection to one server.

    Arrays that were given to it are kept, not copied. Every predict ends in exactly one MaskReady or RequestFailed,
    whatever happens to the server in between: what is pending is sent again after a reconnect, its scene first.
    server_key, public_key, secret_key: CURVE keys in Z85, needed for a server on another machine.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        server_key: str | None = None,
        public_key: str | None = None,
        secret_key: str | None = None,
    ):
        self.address = address
        self.state = ConnectionState.DISCONNECTED
        self.state_text = "Not connected."
        self.server: ServerInfo | None = None
        if server_key and not (public_key and secret_key):
            public_key, secret_key = (key.decode() for key in zmq.curve_keypair())
        self._keys = (server_key or None, public_key, secret_key)
        self._context = zmq.Context()
        self._link: Link | None = None
        self._token = uuid.uuid4().hex
        self._ids = itertools.count(1)
        self._uploads: list[Upload] = []
        self._pending: dict[int, _Pending] = {}
        self._events: list[Event] = []
        self._status: dict[int, dict | RequestError] = {}
        self._polled = self._heard = self._pinged = time.monotonic()
        self._retry_at = self._opened = 0.0
        self._backoff = 0.1
        self._last_used: Upload | None = None
        self._closed = False

    # What the user asks

    def put_scene(self, positions: np.ndarray, colors: np.ndarray | None = None) -> str:
        """Give the server a scene: (N, 3) float32 metres, uint8 (N, 3) colours or None.

        Returns the key of this scene in this client. Hashing and upload go on inside poll(), a few milliseconds at a
        time; a scene that the server has already is not sent again. Raises ValueError for arrays of another form.
        """
        positions = np.ascontiguousarray(positions, dtype="<f4")
        if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
            raise ValueError("Positions must be an array of N x 3 numbers with at least one point.")
        if colors is not None:
            colors = np.ascontiguousarray(colors)
            if colors.shape != positions.shape or colors.dtype != np.uint8:
                raise ValueError("Colours must be an array of N x 3 bytes, as many as positions.")
        upload = Upload(f"scene-{uuid.uuid4().hex[:12]}", positions, colors)
        self._uploads.append(upload)
        self._last_used = upload
        return next(iter(upload.keys))

    def upload_progress(self, scene: str) -> float:
        """0..1, 1 = the server has it. Raises KeyError for a scene that was dropped."""
        return self._upload(scene).fraction

    def predict(
        self,
        scene: str,
        object_id: str,
        clicks: Sequence[Click],
        *,
        voxel_size: float,
        options: dict | None = None,
        probabilities: bool = False,
        deadline: float | None = None,
    ) -> int:
        """Ask for the mask of an object from all of its clicks, in clicking order. Returns the request's id.

        voxel_size: metres, the working resolution. deadline: seconds after which an answer that the server has not
        begun is not wanted any more. An older request of the same object that has not begun ends as superseded.
        Raises KeyError for a scene that was dropped.
        """
        self._last_used = self._upload(scene)
        self._last_used.wanted = True
        for request, older in list(self._pending.items()):
            if older.predict.object_id == object_id and older.key == scene and older.sent_at is None:
                self._fail(request, ErrorCode.SUPERSEDED, "A newer click of the same object took its place.")
        request = next(self._ids)
        predict = Predict.of_clicks(
            "",
            object_id,
            clicks,
            float(voxel_size),
            options=options or {},
            probabilities=probabilities,
            deadline=deadline,
        )
        self._pending[request] = _Pending(scene, predict)
        self._send_due()
        return request

    def cancel(self, request: int) -> None:
        """Give a request up: it ends as cancelled, and a late answer is dropped."""
        pending = self._pending.get(request)
        if pending is None:
            return
        if pending.sent_at is not None and self._link:
            self._link.send(Message(Request.CANCEL, request))
        self._fail(request, ErrorCode.CANCELLED, "Cancelled.")

    def drop_scene(self, scene: str) -> None:
        """Forget a scene and cancel what is asked or sent of it."""
        for request in [request for request, pending in self._pending.items() if pending.key == scene]:
            self.cancel(request)
        upload = self._upload(scene)
        upload.keys.discard(scene)
        if not upload.keys:
            self._uploads.remove(upload)
            if self._last_used is upload:
                self._last_used = None
            if upload.hash and self._connected:
                self._link.send(Message(Request.DROP_SCENE, next(self._ids), {"scene": upload.hash}))

    def poll(self, timeout_ms: int = 0) -> list[Event]:
        """Do what is due and return what happened. Waits at most timeout_ms, and only where nothing is left to do."""
        if not self._closed:
            self._step(timeout_ms)
        events, self._events = self._events, []
        return events

    @property
    def busy(self) -> bool:
        """True while a scene is being hashed or uploaded: polling more often then makes it faster."""
        return any(upload.stage in (Stage.HASHING, Stage.UPLOADING) for upload in self._uploads)

    def wait(self, request: int, timeout: float) -> MaskReady:
        """Block until a request is answered. Other events stay for the next poll().

        Raises RequestError(code, sentence) where it failed, TimeoutError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            for event in self._events:
                if isinstance(event, (MaskReady, RequestFailed)) and event.request == request:
                    self._events.remove(event)
                    if isinstance(event, RequestFailed):
                        raise RequestError(event.code, event.message)
                    return event
            left = deadline - time.monotonic()
            if left <= 0 or request not in self._pending:
                raise TimeoutError(f"No answer within {timeout:g} s. {self.state_text}")
            self._step(int(min(left, 0.05) * 1000) + 1)

    def status(self, timeout: float = 3.0) -> dict:
        """Block until the server has told its state. Raises TimeoutError, RequestError."""
        deadline = time.monotonic() + timeout
        request = None
        while time.monotonic() < deadline:
            if request is None and self._connected:
                request = next(self._ids)
                self._link.send(Message(Request.STATUS, request))
            if request in self._status:
                answer = self._status.pop(request)
                if isinstance(answer, RequestError):
                    raise answer
                return answer
            self._step(20)
        raise TimeoutError(self.state_text)

    def close(self) -> None:
        """Leave the server. What is pending is given up without an event."""
        if not self._closed:
            self._closed = True
            self._close_link()
            self._pending.clear()
            self._uploads.clear()
            self._context.term()
            self.state, self.state_text = ConnectionState.DISCONNECTED, "Not connected."

    # What goes on by itself

    @property
    def _connected(self) -> bool:
        return self.state is ConnectionState.CONNECTED

    def _step(self, timeout_ms: int) -> None:
        now = time.monotonic()
        if now - self._polled > 1.0:
            # Nobody polled: the silence in between was ours, not the server's.
            self._heard += now - self._polled
            self._opened += now - self._polled
        self._polled = now
        if self._link is None and now >= self._retry_at:
            self._open_link()
        self._hash()
        self._send_due()
        if self._link is None:
            time.sleep(min(timeout_ms / 1000, max(self._retry_at - now, 0)) if timeout_ms else 0)
            return
        self._link.wait(0 if any(upload.stage is Stage.HASHING for upload in self._uploads) else timeout_ms)
        self._receive()
        self._send_due()
        self._watch()

    def _open_link(self) -> None:
        try:
            self._link = Link(self._context, self.address, *self._keys)
        except (zmq.ZMQError, ValueError):
            self._retry_at = time.monotonic() + 5
            self._set_state(
                ConnectionState.DISCONNECTED,
                f"'{self.address}' with these keys can't be connected to: write the address as "
                "tcp://127.0.0.1:47600, and keys as the 40 characters that the keys command prints.",
            )
            return
        self._opened = self._heard = self._pinged = time.monotonic()
        self._link.send(Message(Request.HELLO, next(self._ids), {"client": self._token}))
        if self.state is ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.CONNECTING, f"Looking for a server at {self.address}.")

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._retry_at = time.monotonic() + self._backoff
        self._backoff = min(self._backoff * 2, 2.0)
        for pending in self._pending.values():
            pending.sent_at = None
        for upload in self._uploads:
            if upload.stage is Stage.READY:
                # Sent again only where it is needed, or likely to be.
                upload.wanted = upload is self._last_used or any(
                    p.key in upload.keys for p in self._pending.values()
                )
            upload.forget()

    def _set_state(self, state: ConnectionState, text: str) -> None:
        if (state, text) != (self.state, self.state_text):
            self.state, self.state_text = state, text
            self._events.append(StateChanged(state, text))

    def _lose(self, why: str) -> None:
        was_connected = self._connected
        self._close_link()
        if was_connected:
            self._set_state(ConnectionState.LOST, f"{why} Clicks wait until it is back.")

    def _watch(self) -> None:
        now = time.monotonic()
        while self._link is not None and (trouble := self._link.trouble()) is not None:
            if trouble != zmq.Event.DISCONNECTED:
                self._lose("")
                self._set_state(
                    ConnectionState.CONNECTING,
                    f"The server at {self.address} refused our keys: compare them with what its keys command prints.",
                )
            elif self._connected:
                self._lose(f"The connection to {self.address} broke.")
        if self._link is None:
            return
        if self._connected:
            if now - self._heard > SILENCE:
                self._lose(f"The server at {self.address} stopped answering.")
            elif now - self._pinged > PING_EVERY and self._link.send(Message(Request.PING, next(self._ids))):
                self._pinged = now
        elif now - self._opened > HELLO_TIMEOUT:
            self._close_link()
            if self.state is ConnectionState.CONNECTING:
                self._set_state(
                    self.state, f"No server answers at {self.address}: start it, or check the address."
                )

    def _hash(self) -> None:
        deadline = time.perf_counter() + BUDGET
        for upload in list(self._uploads):
            if upload.stage is not Stage.HASHING:
                continue
            if not upload.hash_until(deadline):
                return
            for twin in self._uploads:
                if twin is not upload and twin.hash == upload.hash:
                    twin.keys |= upload.keys
                    twin.wanted = True
                    if twin.stage is Stage.FAILED:
                        twin.forget()
                    if self._last_used is upload:
                        self._last_used = twin
                    self._uploads.remove(upload)
                    self._progress(twin, upload.keys)
                    break

    def _send_due(self) -> None:
        if not self._connected:
            return
        deadline, now = time.perf_counter() + BUDGET, time.monotonic()
        for upload in self._uploads:
            if upload.stage is Stage.UNASKED and upload.wanted and now >= upload.retry_at:
                upload.request = next(self._ids)
                put = PutScene(upload.hash, len(upload.positions), upload.colors is not None)
                if self._link.send(put.message(upload.request)):
                    upload.stage = Stage.ASKED
            while upload.stage is Stage.UPLOADING and time.perf_counter() < deadline:
                chunk = upload.next_chunk()
                if chunk is None or not self._link.send(chunk.message(upload.request)):
                    break
                upload.sent_chunk()
        for request, pending in list(self._pending.items()):
            upload = self._upload(pending.key)
            if upload.stage is Stage.FAILED:
                self._fail(request, *upload.failure)
            elif upload.stage is Stage.READY and pending.sent_at is None:
                if not self._link.send(replace(pending.predict, scene=upload.hash).message(request)):
                    return
                pending.sent_at = time.perf_counter()

    def _receive(self) -> None:
        deadline = time.perf_counter() + BUDGET
        while self._link is not None and time.perf_counter() < deadline:
            message = self._link.receive()
            if message is None:
                return
            self._heard = time.monotonic()
            try:
                if isinstance(message, ProtocolError):
                    raise message
                self._handle(message)
            except ProtocolError as error:
                self._handle_unreadable(error)

    def _handle(self, message: Message) -> None:
        match message.type:
            case Reply.INFO:
                self._on_info(ServerInfo.read(message))
            case Reply.MASK if message.id in self._pending:
                self._on_mask(message)
            case Reply.SCENE:
                self._on_scene(message)
            case Reply.ERROR:
                self._on_error(message.id, *read_error(message))
            case Reply.QUEUED if message.id in self._pending:
                self._events.append(Queued(message.id, Arguments(message.args).integer("position")))
            case Reply.STATUS:
                self._status[message.id] = message.args
            case Reply.WHO:
                self._lose("The server forgot this client.")
                self._retry_at = 0.0
            case Reply.BYE:
                self._lose("The server was stopped.")

    def _handle_unreadable(self, error: ProtocolError) -> None:
        if error.code is ErrorCode.UNSUPPORTED_VERSION:
            self._on_incompatible(error.message)
        elif error.request in self._pending:
            self._fail(
                error.request, ErrorCode.INTERNAL, f"The server's answer can't be read: {error.message}"
            )

    def _on_incompatible(self, sentence: str) -> None:
        self._close_link()
        self._retry_at = time.monotonic() + 5
        self._set_state(ConnectionState.INCOMPATIBLE, sentence)

    def _on_info(self, info: ServerInfo) -> None:
        self.server = info
        self._backoff = 0.1
        runs = f"{info.device}, {info.model}" if info.ready else "the server is loading its model"
        self._set_state(ConnectionState.CONNECTED, f"Connected: {runs}")

    def _on_mask(self, message: Message) -> None:
        pending = self._pending[message.id]
        mask, probabilities, timing = read_mask(message, len(self._upload(pending.key).positions))
        timing["wire"] = max(time.perf_counter() - pending.sent_at - timing.get("server", 0.0), 0.0)
        del self._pending[message.id]
        self._events.append(
            MaskReady(message.id, pending.predict.object_id, pending.key, mask, probabilities, timing)
        )

    def _on_scene(self, message: Message) -> None:
        upload = next((upload for upload in self._uploads if upload.request == message.id), None)
        if upload is None or upload.stage not in (Stage.ASKED, Stage.UPLOADING):
            return
        if Arguments(message.args).flag("ready"):
            upload.stage = Stage.READY
        elif upload.stage is Stage.ASKED:
            upload.begin(Arguments(message.args).integer("next", high=upload.chunks))
        else:
            upload.acknowledge(Arguments(message.args).integer("next", high=upload.chunks))
        self._progress(upload, upload.keys)

    def _progress(self, upload: Upload, keys: set[str]) -> None:
        self._events.extend(UploadProgress(key, upload.fraction) for key in keys)

    def _on_error(self, request: int, code: ErrorCode, sentence: str) -> None:
        if code is ErrorCode.UNSUPPORTED_VERSION:
            self._on_incompatible(sentence)
        elif request in self._pending:
            pending = self._pending[request]
            pending.tries += 1
            if code is ErrorCode.UNKNOWN_SCENE and pending.tries < 5:
                # The server's cache dropped the scene: send it again, then ask again.
                pending.sent_at = None
                upload = self._upload(pending.key)
                if upload.stage is Stage.READY:
                    upload.forget()
            else:
                self._fail(request, code, sentence)
        elif request in self._status or not self._connected:
            self._set_state(self.state, sentence)
        else:
            self._on_upload_error(request, code, sentence)

    def _on_upload_error(self, request: int, code: ErrorCode, sentence: str) -> None:
        upload = next((upload for upload in self._uploads if upload.request == request), None)
        if upload is None or upload.stage not in (Stage.ASKED, Stage.UPLOADING):
            return
        upload.forget()
        if code is ErrorCode.BUSY:
            upload.retry_at = time.monotonic() + 1.0
        elif code is not ErrorCode.UNKNOWN_SCENE:
            upload.fail(code, sentence)
            self._events.extend(RequestFailed(0, "", key, code, sentence) for key in upload.keys)

    def _fail(self, request: int, code: ErrorCode, sentence: str) -> None:
        pending = self._pending.pop(request)
        self._events.append(RequestFailed(request, pending.predict.object_id, pending.key, code, sentence))

    def _upload(self, key: str) -> Upload:
        for upload in self._uploads:
            if key in upload.keys:
                return upload
        raise KeyError(key)
