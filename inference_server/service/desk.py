"""Answers each kind of request. What needs the network becomes a job; everything else is answered at once."""

import time
from typing import TYPE_CHECKING

from .. import __version__
from ..wire.protocol import Arguments, ErrorCode, Message, ProtocolError, Reply, Request
from ..wire.requests import Chunk, Predict, PutScene, error_message, too_many_clicks
from .sessions import Job, Session
from .state import state_of

if TYPE_CHECKING:
    from .loop import Service

POSITION_EVERY = 0.5
SILENT = 5.0
"""Seconds without a word after which a client with nothing to do gives its place to another one."""
LONGEST_OPTION, MOST_OPTIONS = 100, 16
KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
"""What an option may be, by its type in Python."""
NEW_WORK = (Request.PUT_SCENE, Request.CHUNK, Request.PREDICT)
COUNTED = (Request.PUT_SCENE, Request.PREDICT, Request.STATUS)
"""Requests that a client may make only so often; an artist makes one in some seconds."""
BURST = 2.0
"""Seconds' worth of counted requests that may come at once."""


class Desk:
    """The requests of clients, one method for each kind."""

    def __init__(self, service: "Service"):
        self._service = service
        self._answers = {
            Request.PUT_SCENE: self._put_scene,
            Request.CHUNK: self._chunk,
            Request.PREDICT: self._predict,
            Request.CANCEL: self._cancel,
            Request.DROP_SCENE: self._drop_scene,
            Request.STATUS: self._status,
            Request.PING: lambda session, message: Message(Reply.PONG, message.id),
        }

    def handle(self, identity: bytes, session: Session | None, message: Message) -> Message | None:
        """The answer to a message, None where there is none (yet). Raises ProtocolError with the request's
        id."""
        try:
            if message.type == Request.HELLO:
                return self._hello(identity, message)
            answer = self._answers.get(message.type)
            if answer is None:
                raise ProtocolError(
                    ErrorCode.BAD_REQUEST, f"The request '{message.type}' is unknown to server {__version__}."
                )
            if session is None:
                return Message(Reply.WHO, message.id)
            session.heard = time.monotonic()
            if self._service.stopping and message.type in NEW_WORK:
                # The bye that follows makes the client ask the next server.
                return None
            rate = self._service.settings.requests_per_second
            if message.type in COUNTED and not session.may_ask(rate, BURST * rate):
                raise ProtocolError(
                    ErrorCode.BUSY, f"This client asks more than {rate:g} times a second; ask more slowly."
                )
            return answer(session, message)
        except ProtocolError as error:
            error.request = message.id
            raise

    def forget_dropped(self) -> None:
        """Tell the workers which scenes are gone."""
        for scene in self._service.scenes.dropped:
            self._service.workers.forget(scene)
        self._service.scenes.dropped.clear()

    def tell_positions(self) -> None:
        """Tell waiting clients how many requests are before theirs, when that changed."""
        now = time.monotonic()
        running = sum(worker.job is not None for worker in self._service.workers)
        for position, job in enumerate(self._service.sessions.waiting(), start=running):
            if position != job.told_position and now - job.told_at > POSITION_EVERY:
                job.told_position, job.told_at = position, now
                self._service.send(job.session, Message(Reply.QUEUED, job.id, {"position": position}))

    def _hello(self, identity: bytes, message: Message) -> Message:
        token = Arguments(message.args).text("client", longest=64)
        if len(token) < 16:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A client's name has at least 16 characters.")
        sessions, settings = self._service.sessions, self._service.settings
        if self._service.stopping:
            raise ProtocolError(ErrorCode.BUSY, "The server is stopping.")
        if len(sessions) >= settings.clients and not sessions.has_token(token) and not sessions.make_room(SILENT):
            raise ProtocolError(
                ErrorCode.BUSY,
                f"The server has {settings.clients} clients, as many as it takes; try again later.",
            )
        sessions.open(token, identity)
        return self._service.info().message(message.id)

    def _put_scene(self, session: Session, message: Message) -> Message:
        put = PutScene.read(message)
        scenes, limit = self._service.scenes, self._service.settings.scenes_per_client
        if put.scene not in session.scenes and len(session.scenes) >= limit:
            raise ProtocolError(
                ErrorCode.TOO_LARGE,
                f"This client holds {limit} scans, as many as it may: close one that is done.",
            )
        known = scenes.find(put.scene)
        if known is not None:
            if (known.points, known.has_colors) != (put.points, put.has_colors):
                raise ProtocolError(ErrorCode.BAD_REQUEST, "The scene's hash and its size don't go together.")
            session.scenes.add(put.scene)
            return _scene_state(message.id, put.scene, known.chunks, ready=True)
        upload = scenes.begin(put, session.token, message.id, self._pinned())
        session.scenes.add(put.scene)
        self.forget_dropped()
        return _scene_state(message.id, put.scene, upload.next_chunk, ready=False)

    def _chunk(self, session: Session, message: Message) -> Message | None:
        scene = Arguments(message.args).scene()
        upload = self._service.scenes.partial.get((session.token, scene))
        if upload is None:
            raise ProtocolError(ErrorCode.UNKNOWN_SCENE, "This half-sent scan had to make room; send it again.")
        if upload.upload_id != message.id:
            # The rest of an upload that was begun anew.
            return None
        chunk = Chunk.read(message)
        if chunk.index != upload.next_chunk:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "The chunks of a scene come in order.")
        try:
            whole = self._service.scenes.write(upload, chunk)
        except ProtocolError:
            self._service.scenes.abandon(session.token, scene)
            raise
        if whole:
            self._service.log.write(
                "scene",
                client=session.label,
                scene=scene[:8],
                points=upload.points,
                colors=upload.has_colors,
            )
        return _scene_state(message.id, scene, upload.next_chunk, ready=whole)

    def _predict(self, session: Session, message: Message) -> Message | None:
        predict = Predict.read(message)
        settings = self._service.settings
        if message.id in session.queue or message.id in session.running:
            return None
        clicks = len(predict.positions)
        if clicks > settings.clicks:
            raise ProtocolError(ErrorCode.TOO_LARGE, too_many_clicks(clicks, settings.clicks))
        scene = self._service.scenes.find(predict.scene)
        if scene is None:
            raise ProtocolError(ErrorCode.UNKNOWN_SCENE, "The server does not have this scan; send it first.")
        if predict.vertices.max() >= scene.points:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A click is on a vertex that the scan does not have.")
        self.check_options(predict.options)
        older = session.supersede(predict)
        if older is not None:
            newer = "A newer click of the same object took its place."
            self._service.answer_job(older, error_message(older.id, ErrorCode.SUPERSEDED, newer))
        if len(session.queue) >= settings.queue_per_client:
            raise ProtocolError(
                ErrorCode.BUSY,
                f"{settings.queue_per_client} requests of this client wait already; wait for some.",
            )
        session.scenes.add(predict.scene)
        session.queue[message.id] = Job(session, message.id, predict, time.perf_counter())
        return None

    def _cancel(self, session: Session, message: Message) -> Message | None:
        job = session.queue.pop(message.id, None) or session.running.get(message.id)
        if job is not None:
            self._service.answer_job(job, error_message(job.id, ErrorCode.CANCELLED, "Cancelled."))
        return None

    def _drop_scene(self, session: Session, message: Message) -> None:
        scene = Arguments(message.args).scene()
        session.scenes.discard(scene)
        self._service.scenes.abandon(session.token, scene)

    def _status(self, session: Session, message: Message) -> Message:
        return Message(Reply.STATUS, message.id, state_of(self._service))

    def check_options(self, options: dict) -> None:
        """Raises ProtocolError for options that make no sense; names and kinds are looked at once a worker is ready."""
        ready = self._service.workers.ready
        if len(options) > MOST_OPTIONS:
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"A request has at most {MOST_OPTIONS} options.")
        for name, value in options.items():
            if len(name) > LONGEST_OPTION or (ready and name not in ready[0].facts["options"]):
                raise ProtocolError(ErrorCode.BAD_REQUEST, f"The option '{name[:50]}' is unknown to this server.")
            short = isinstance(value, str) and len(value) <= LONGEST_OPTION
            if not short and not isinstance(value, (bool, int, float)):
                raise ProtocolError(ErrorCode.BAD_REQUEST, f"The option '{name[:50]}' has no plain value.")
            kinds = ready[0].facts["options"][name] if ready else [type(value).__name__]
            if type(value).__name__ not in kinds and not (type(value) is int and "float" in kinds):
                wanted = " or ".join(KINDS[kind] for kind in kinds)
                raise ProtocolError(ErrorCode.BAD_REQUEST, f"The option '{name}' must be {wanted}.")

    def _pinned(self) -> set[str]:
        """Scenes that somebody waits for."""
        waiting = {job.predict.scene for job in self._service.sessions.waiting()}
        return waiting | {worker.job.predict.scene for worker in self._service.workers if worker.job}


def _scene_state(request: int, scene: str, next_chunk: int, ready: bool) -> Message:
    return Message(Reply.SCENE, request, {"scene": scene, "next": next_chunk, "ready": ready})
