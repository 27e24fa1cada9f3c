"""The client: sends scenes and clicks, brings masks back, survives the loss of its server. One thread, never
blocks.

client = Client()
scene = client.put_scene(positions, colors)
request = client.predict(scene, "lamp", [Click((x, y, z), True)], voxel_size=0.05)
for event in client.poll(): ...          # from a timer; or: client.wait(request, timeout=60).mask
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import zmq

from .connection import Connection
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
from .protocol import (
    DEFAULT_ADDRESS,
    MAX_FRAME_BYTES,
    MAX_HEADER_BYTES,
    Arguments,
    Click,
    ErrorCode,
    Message,
    ProtocolError,
    Reply,
    Request,
    encode,
)
from .requests import FEWER_CLICKS, Predict, PutScene, ServerInfo, read_error, read_mask, too_many_clicks
from .upload import Stage, Upload, Uploads

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

BUDGET = 0.008
"""Seconds that one poll spends on sending and on receiving."""
LOOK_EVERY_MS = 2
"""While a scene is being hashed, in another thread."""
RETRY_BUSY = 1.0
MOST_TRIES = 5


@dataclass
class _Pending:
    key: str
    predict: Predict
    sent_at: float | None = None
    tries: int = 0


class Client:
    """Connection to one server.

    Arrays that were given to it are kept, not copied. Every predict ends in exactly one MaskReady or
    RequestFailed, whatever happens to the server in between: what is pending is sent again after a reconnect,
    its scene first.
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
        if server_key and not (public_key and secret_key):
            public_key, secret_key = (key.decode() for key in zmq.curve_keypair())
        self._events: list[Event] = []
        self._connection = Connection(
            address, (server_key or None, public_key, secret_key), self._events.append, self._on_lost
        )
        self._uploads = Uploads()
        self._to_drop: set[str] = set()  # of what the server was asked to take
        self._pending: dict[int, _Pending] = {}
        self._answers: dict[int, dict | RequestError] = {}
        self._closed = False

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def state(self) -> ConnectionState:
        return self._connection.state

    @property
    def state_text(self) -> str:
        """One sentence for the panel."""
        return self._connection.text

    @property
    def server(self) -> ServerInfo | None:
        """What the server said of itself, or None before the first hello."""
        return self._connection.server

    @property
    def busy(self) -> bool:
        """True while a scene is being hashed or uploaded: polling more often then makes it faster."""
        return any(upload.stage in (Stage.HASHING, Stage.UPLOADING) for upload in self._uploads)

    def put_scene(self, positions: np.ndarray, colors: np.ndarray | None = None) -> str:
        """Give the server a scene: (N, 3) float32 metres, uint8 (N, 3) colours or None.

        Returns the key of this scene in this client. Hashing goes on in threads, upload inside poll(), a
        few milliseconds at a time; a scene that the server has already is not sent again. Raises ValueError for
        other arrays.
        """
        positions = np.ascontiguousarray(positions, dtype="<f4")
        if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
            raise ValueError("Positions must be an array of N x 3 numbers with at least one point.")
        if colors is not None:
            colors = np.ascontiguousarray(colors)
            if colors.shape != positions.shape or colors.dtype != np.uint8:
                raise ValueError("Colours must be an array of N x 3 bytes, as many as positions.")
        key = f"scene-{uuid.uuid4().hex[:12]}"
        self._uploads.add(key, positions, colors)
        return key

    def upload_progress(self, scene: str) -> float:
        """0..1, 1 = the server has it. Raises KeyError for a scene that was dropped."""
        return self._uploads.find(scene).fraction

    def upload_waits(self, scene: str) -> str:
        """Why the server does not take a scene now, as a sentence; "" where it does. Raises KeyError."""
        return self._uploads.find(scene).waits

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

        voxel_size: metres, the working resolution. deadline: seconds after which an answer that the server
        has not begun is not wanted any more. An older request of the same object that has not begun ends as
        superseded.
        Raises KeyError for a scene that was dropped, ValueError for what can't be written in a message.
        """
        more = {"options": dict(options or {}), "probabilities": probabilities, "deadline": deadline}
        try:
            predict = Predict.of_clicks("", object_id, clicks, float(voxel_size), **more)
            encode(predict.message(0))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"A request holds numbers, text and flags only: {error}.") from error
        self._uploads.use(scene)
        for request, older in list(self._pending.items()):
            same = older.key == scene and older.predict.object_id == object_id
            if same and older.sent_at is None:
                self._fail(request, ErrorCode.SUPERSEDED, "A newer click of the same object took its place.")
        request = next(self._connection.ids)
        self._pending[request] = _Pending(scene, predict)
        self._send_due()
        return request

    def cancel(self, request: int) -> None:
        """Give a request up: it ends as cancelled, and a late answer is dropped."""
        if request in self._pending:
            if self._pending[request].sent_at is not None:
                self._connection.send(Message(Request.CANCEL, request))
            self._fail(request, ErrorCode.CANCELLED, "Cancelled.")

    def drop_scene(self, scene: str) -> None:
        """Forget a scene and cancel what is asked or sent of it. Raises KeyError for one that was dropped."""
        for request in [request for request, pending in self._pending.items() if pending.key == scene]:
            self.cancel(request)
        dropped = self._uploads.drop(scene)
        if dropped and dropped.request:
            self._to_drop.add(dropped.hash)
            self._send_due()

    def poll(self, timeout_ms: int = 0) -> list[Event]:
        """Do what is due and return what happened. Waits at most timeout_ms, and only where nothing is left
        to do."""
        self._step(timeout_ms)
        events = self._events.copy()
        self._events.clear()
        return events

    def wait(self, request: int, timeout: float) -> MaskReady:
        """Block until a request is answered. Other events stay for the next poll(); of places in the queue and shares
        of uploads the newest.

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
            if left <= 0:
                raise TimeoutError(f"No answer within {timeout:g} s. {self.state_text}")
            self._step(int(min(left, 0.05) * 1000) + 1)

    def status(self, timeout: float = 3.0) -> dict:
        """Block until the server has told its state. Raises TimeoutError, RequestError."""
        deadline = time.monotonic() + timeout
        request = 0
        while time.monotonic() < deadline:
            if request and not self._connection.connected:
                self._answers.pop(request)
                request = 0
            if not request and self._connection.connected:
                request = next(self._connection.ids)
                self._answers[request] = {}
                self._connection.send(Message(Request.STATUS, request))
            answer = self._answers.get(request)
            if isinstance(answer, RequestError):
                del self._answers[request]
                raise answer
            if answer:
                return self._answers.pop(request)
            self._step(20)
        self._answers.pop(request, None)
        if self._connection.connected:
            raise TimeoutError(
                f"The server at {self.address} is there but did not tell its state within {timeout:g} s."
            )
        raise TimeoutError(self.state_text)

    def close(self) -> None:
        """Leave the server. What is pending is given up without an event."""
        if not self._closed:
            self._closed = True
            self._connection.close()
            self._uploads.close()
            self._pending.clear()

    def _step(self, timeout_ms: int) -> None:
        if self._closed:
            return
        self._forget_overtaken()
        self._connection.step()
        for upload, keys in self._uploads.look_for_hashes():
            self._progress(upload, keys)
        self._send_due()
        self._connection.wait(min(timeout_ms, LOOK_EVERY_MS) if self._uploads.hashing else timeout_ms)
        for message in self._connection.receive(time.perf_counter() + BUDGET):
            if isinstance(message, ProtocolError):
                self._on_unreadable(message, message.request)
                continue
            try:
                self._handle(message)
            except ProtocolError as error:
                self._on_unreadable(error, message.id)
        self._send_due()

    def _forget_overtaken(self) -> None:
        """Places and shares that nobody polled for: only the newest of each, and none of what is over, so that they do
        not pile up where a script only waits."""
        keys = {key for upload in self._uploads for key in upload.keys}
        kept: dict[object, Event] = {}
        for event in self._events:
            about: object = id(event)
            if isinstance(event, Queued):
                if event.request not in self._pending:
                    continue
                about = Queued, event.request
            elif isinstance(event, UploadProgress):
                if event.scene not in keys:
                    continue
                about = UploadProgress, event.scene
            kept.pop(about, None)
            kept[about] = event
        self._events[:] = kept.values()

    def _send_due(self) -> None:
        if not self._connection.connected:
            return
        send, deadline = self._connection.send, time.perf_counter() + BUDGET
        # before any upload: one may be of a scene that was dropped
        for scene in list(self._to_drop):
            if not send(Message(Request.DROP_SCENE, next(self._connection.ids), {"scene": scene})):
                return
            self._to_drop.discard(scene)
        needed = {pending.key for pending in self._pending.values()}
        uploads = sorted(self._uploads, key=lambda upload: not upload.keys & needed)
        on_their_way = sum(upload.stage in (Stage.ASKED, Stage.UPLOADING) for upload in uploads)
        room = self.server.limits.get("uploads_per_client", len(uploads)) - on_their_way
        for upload in uploads:
            due = upload.stage is Stage.UNASKED and upload.wanted and time.monotonic() >= upload.retry_at
            if due and room > 0:
                upload.request = next(self._connection.ids)
                put = PutScene(upload.hash, len(upload.positions), upload.colors is not None)
                if send(put.message(upload.request)):
                    upload.stage = Stage.ASKED
                    room -= 1
            while upload.stage is Stage.UPLOADING and time.perf_counter() < deadline:
                chunk = upload.next_chunk()
                if chunk is None or not send(chunk.message(upload.request)):
                    break
                upload.sent_chunk()
        for request, pending in list(self._pending.items()):
            upload = self._uploads.find(pending.key)
            if upload.stage is Stage.FAILED:
                self._fail(request, *upload.failure)
            elif upload.stage is Stage.READY and pending.sent_at is None:
                message = replace(pending.predict, scene=upload.hash).message(request)
                if too_large := self._too_large(message):
                    self._fail(request, ErrorCode.TOO_LARGE, too_large)
                    continue
                # before it is sent: the server may be faster than this line's successor
                clock = time.perf_counter()
                if not send(message):
                    return
                pending.sent_at = clock

    def _too_large(self, message: Message) -> str | None:
        """Why the server would not read a predict but cut the connection or answer nobody; None where it reads it."""
        clicks, most = len(message.arrays["positions"]), self.server.limits.get("clicks")
        if most is not None and clicks > most:
            return too_many_clicks(clicks, most)
        header, *frames = encode(message)
        if len(header) > MAX_HEADER_BYTES:
            return (
                f"The object's name and the options take {len(header):,} bytes of a message and no server reads more "
                f"than {MAX_HEADER_BYTES:,}: choose a shorter name."
            )
        if any(len(frame) > MAX_FRAME_BYTES for frame in frames):
            return f"The object has {clicks:,} clicks, more than a message holds: {FEWER_CLICKS}."
        return None

    def _handle(self, message: Message) -> None:
        if message.type == Reply.MASK and message.id in self._pending:
            self._on_mask(message)
        elif message.type == Reply.SCENE:
            self._on_scene(message)
        elif message.type == Reply.ERROR:
            self._on_error(message.id, *read_error(message))
        elif message.type == Reply.QUEUED and message.id in self._pending:
            self._events.append(Queued(message.id, Arguments(message.args).integer("position")))
        elif message.type == Reply.STATUS and message.id in self._answers:
            self._answers[message.id] = message.args

    def _on_mask(self, message: Message) -> None:
        pending = self._pending[message.id]
        points = len(self._uploads.find(pending.key).positions)
        mask, probabilities, timing = read_mask(message, points)
        if pending.sent_at is not None:
            round_trip = time.perf_counter() - pending.sent_at
            timing["wire"] = max(round_trip - timing.get("server", 0.0), 0.0)
        del self._pending[message.id]
        self._events.append(MaskReady(message.id, pending.predict.object_id, pending.key, mask, probabilities, timing))

    def _on_scene(self, message: Message) -> None:
        upload = self._uploads.of_request(message.id)
        if upload is None:
            return
        args = Arguments(message.args)
        if args.flag("ready"):
            upload.stage, upload.waits = Stage.READY, ""
        elif upload.stage is Stage.ASKED:
            upload.begin(args.integer("next", high=upload.chunks))
        else:
            upload.acknowledge(args.integer("next", high=upload.chunks))
        self._progress(upload, upload.keys)

    def _on_error(self, request: int, code: ErrorCode, sentence: str) -> None:
        if code is ErrorCode.UNSUPPORTED_VERSION:
            self._connection.refuse(sentence)
        elif request in self._answers:
            self._answers[request] = RequestError(code, sentence)
        elif (upload := self._uploads.of_request(request)) is not None:
            self._on_upload_error(upload, code, sentence)
        elif request in self._pending:
            pending = self._pending[request]
            pending.tries += 1
            if code is ErrorCode.UNKNOWN_SCENE and pending.tries < MOST_TRIES:
                # The server's cache let the scene go: send it, then ask again.
                pending.sent_at = None
                upload = self._uploads.find(pending.key)
                if upload.stage is Stage.READY:
                    upload.forget()
            else:
                self._fail(request, code, sentence)

    def _on_upload_error(self, upload: Upload, code: ErrorCode, sentence: str) -> None:
        if code is ErrorCode.BUSY:
            upload.wait(RETRY_BUSY, sentence)
            return
        upload.forget()
        if code is not ErrorCode.UNKNOWN_SCENE:
            upload.fail(code, sentence)
            self._events.extend(RequestFailed(0, "", key, code, sentence) for key in upload.keys)

    def _on_unreadable(self, error: ProtocolError, request: int) -> None:
        if error.code is ErrorCode.UNSUPPORTED_VERSION:
            self._connection.refuse(error.message)
        else:
            self._on_error(request, ErrorCode.INTERNAL, f"The server's answer is unreadable: {error.message}")

    def _on_lost(self) -> None:
        for pending in self._pending.values():
            pending.sent_at = None
        self._uploads.forget({pending.key for pending in self._pending.values()})

    def _progress(self, upload: Upload, keys: set[str]) -> None:
        self._events.extend(UploadProgress(key, upload.fraction) for key in keys)

    def _fail(self, request: int, code: ErrorCode, sentence: str) -> None:
        pending = self._pending.pop(request)
        self._events.append(RequestFailed(request, pending.predict.object_id, pending.key, code, sentence))
