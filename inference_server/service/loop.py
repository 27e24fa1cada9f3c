"""The service's loop: takes messages, gives jobs to workers, sends answers. It never waits for any of
them."""

import secrets
import signal
import time
from collections.abc import Callable

import zmq

from .. import __version__
from ..errors import UserError
from ..files import replacing
from ..wire.address import is_ipv6
from ..wire.protocol import (
    MAX_FRAME_BYTES,
    MAX_FRAMES,
    ErrorCode,
    Message,
    ProtocolError,
    Reply,
    decode,
    encode,
)
from ..wire.requests import ServerInfo, error_message, read_error
from .desk import Desk
from .figures import Figures
from .log import ServiceLog
from .scenes import SceneStore
from .security import Gate, check_address
from .sessions import Job, Session, Sessions
from .settings import Settings
from .state import exposition, state_of
from .worker import internal_error
from .workers import Worker, Workers

TICK = 0.1
"""Seconds between looks at what happens without a message: deaths, silences, deadlines."""
TURN = 0.01
"""Seconds for the messages of clients before the workers' answers are looked at again."""
MOST_UNSENT = 256
MOST_FAILED_STARTS = 3
"""Ends of a worker before it was ready, one time after the other, after which a new server gives up."""


class Service:
    """A server on one address. `run` returns when it was told to stop.

    Raises UserError for an address in use, missing keys, or a predictor that can't be made.
    """

    def __init__(self, settings: Settings, on_ready: Callable[[ServerInfo], None] | None = None):
        check_address(settings.address, settings.keys)
        self.settings = settings
        self.sessions = Sessions()
        self.scenes = SceneStore(settings)
        self.figures = Figures()
        self.log = ServiceLog(settings.log_file)
        self.instance = secrets.token_hex(8)
        self.started = time.monotonic()
        self.stopping = False
        self._on_ready = on_ready
        self._announced = False
        self._ticked = self._busy_at = time.monotonic()
        self._stop_at = float("inf")
        self._figures_at = 0.0
        self._context = zmq.Context()
        self._workers_context = zmq.Context()
        self._socket = self._bind(settings)
        self.workers = Workers(self._workers_context, settings)
        self._desk = Desk(self)

    def run(self) -> None:
        """Serve until stopped; always leaves no process, socket or shared memory behind."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self.workers.socket, zmq.POLLIN)
        if self._gate is not None:
            poller.register(self._gate.socket, zmq.POLLIN)
        self.log.write("start", version=__version__, address=self.settings.address, instance=self.instance)
        try:
            while not self._finished():
                ready = dict(poller.poll(TICK * 1000))
                if self._gate is not None and self._gate.socket in ready:
                    self._take_from_gate()
                if self.workers.socket in ready:
                    self._take_from_workers()
                if self._socket in ready:
                    self._take_from_clients()
                if time.monotonic() - self._ticked >= TICK:
                    self._tick()
                self._hand_out()
        finally:
            self._close()

    def stop(self, *_: object) -> None:
        """Finish what runs, refuse what is new, say bye; a second call ends at once. Safe in a signal
        handler."""
        self._stop_at = time.monotonic() + (0 if self.stopping else self.settings.stop_seconds)
        self.stopping = True

    def stop_on_signals(self) -> None:
        """Let Ctrl+C and the system's wish to end stop this service. Main thread only."""
        for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP"):
            wish = getattr(signal, name, None)
            # under nohup the end of the terminal is not to end the server
            if wish is not None and not (name == "SIGHUP" and signal.getsignal(wish) is signal.SIG_IGN):
                signal.signal(wish, self.stop)

    def info(self) -> ServerInfo:
        """What clients are told of this server."""
        ready = self.workers.ready
        facts = ready[0].facts if ready else {}
        devices = ", ".join(sorted({worker.facts["device"] for worker in ready}))
        model = facts.get("model", "")
        return ServerInfo(
            __version__,
            self.instance,
            bool(ready),
            model,
            (model,) if model else (),
            devices,
            facts.get("engine", ""),
            self.settings.limits,
        )

    def send(self, session: Session, message: Message) -> None:
        """Send to a client; one that is gone or doesn't take what it asked for is forgotten until it says
        hello."""
        self._send(session.identity, message)

    def answer_job(self, job: Job, message: Message) -> None:
        """End a job with its answer, if anybody still waits for it."""
        job.session.running.pop(job.id, None)
        if not job.abandoned:
            job.abandoned = True
            self.figures.count("masks" if message.type == Reply.MASK else str(message.args["code"]))
            self.send(job.session, message)

    def _bind(self, settings: Settings) -> zmq.Socket:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 500
        socket.router_mandatory = 1
        socket.maxmsgsize = MAX_FRAME_BYTES
        socket.rcvhwm, socket.sndhwm = 64, MOST_UNSENT
        socket.ipv6 = is_ipv6(settings.address)
        self._gate = None
        try:
            if settings.keys is not None:
                self._gate = Gate(self._context, socket, settings.keys)
            socket.bind(settings.address)
        except (zmq.ZMQError, UserError) as error:
            socket.close(0)
            if self._gate is not None:
                self._gate.close()
            self._context.term()
            self._workers_context.term()
            if isinstance(error, UserError):
                raise
            if error.errno == zmq.EADDRINUSE:
                raise UserError(
                    f"Another server or program already uses {settings.address}: use that one, stop it, or "
                    "choose another port with --address."
                ) from None
            raise UserError(f"The server can't listen on {settings.address}: {error.strerror}.") from None
        return socket

    def _take_from_clients(self) -> None:
        deadline = time.perf_counter() + TURN
        while time.perf_counter() < deadline:
            try:
                identity, frames = self._receive()
            except zmq.Again:
                return
            self._answer(identity, frames)

    def _answer(self, identity: bytes, frames: list[memoryview]) -> None:
        request = 0
        try:
            message = decode(frames)
            request = message.id
            answer = self._desk.handle(identity, self.sessions.find(identity), message)
            if answer is not None:
                self._send(identity, answer)
        except ProtocolError as error:
            self.figures.count(error.code)
            self._send(identity, error_message(error.request, error.code, error.message))
        except Exception as error:  # a mistake in here is to cost one request, not everybody's server
            self.figures.count(ErrorCode.INTERNAL)
            answer = internal_error(error, request)
            self.log.write("request failed", trace=answer.args.pop("trace"))
            self._send(identity, answer)

    def _take_from_gate(self) -> None:
        try:
            self.log.write("connection", client=self._gate.answer())
        except Exception as error:  # as above: one connection, which was refused
            self.log.write("connection failed", trace=internal_error(error).args["trace"])

    def _receive(self) -> tuple[bytes, list[memoryview]]:
        """One message; frames beyond the allowed number are read and thrown away, so that decoding refuses
        it."""
        identity = self._socket.recv(zmq.DONTWAIT)
        frames = []
        while len(frames) <= MAX_FRAMES and self._socket.rcvmore:
            frames.append(self._socket.recv(copy=False).buffer)
        while self._socket.rcvmore:  # copies of small frames are made faster than views of them
            self._socket.recv()
        return identity, frames

    def _send(self, identity: bytes, message: Message) -> None:
        frames = [identity, *encode(message)]
        for last_try in (False, True):
            try:
                self._socket.send_multipart(frames, zmq.DONTWAIT, copy=False)
                return
            except zmq.ZMQError as error:
                session = self.sessions.find(identity)
                if error.errno == zmq.EHOSTUNREACH:
                    if session is not None:
                        session.queue.clear()
                    return
                if error.errno != zmq.EAGAIN:
                    raise
                if last_try and session is not None:
                    # It does not read: asked who it is at its next word, it will begin anew.
                    self.sessions.close(session)
            # A socket learns only now and then that its peer has read on; this makes it look.
            _ = self._socket.events

    def _take_from_workers(self) -> None:
        while (received := self.workers.receive()) is not None:
            worker, message = received
            if message.type == "alive":
                worker.facts["memory"] = message.args.get("memory", 0)
            elif message.type == "ready":
                worker.facts |= message.args
                worker.ready = True
                self._on_worker_ready(worker)
            elif worker.ready:
                self._finish_job(worker, message)
            else:
                self._on_start_failed(worker, message)

    def _on_worker_ready(self, worker: Worker) -> None:
        self.workers.proven.add(worker.number)
        self.workers.failed_starts[worker.number] = 0
        self.log.write("worker ready", worker=worker.name.decode(), device=worker.facts["device"])
        if len(self.workers.ready) == 1:
            for session in self.sessions:
                self.send(session, self.info().message(0))
        if not self._announced and self._on_ready is not None:
            self._on_ready(self.info())
        self._announced = True

    def _on_start_failed(self, worker: Worker, message: Message) -> None:
        code, sentence = read_error(message)
        self.log.write("worker failed to start", code=code, message=sentence, trace=message.args.get("trace"))
        self.workers.remove(worker)
        if not self._announced or (code is ErrorCode.BAD_REQUEST and worker.number not in self.workers.proven):
            raise UserError(sentence)
        self._give_up_waiting(sentence)

    def _finish_job(self, worker: Worker, message: Message) -> None:
        job, worker.job = worker.job, None
        if job is None or job.id != message.id:
            return
        now = time.perf_counter()
        self._busy_at = time.monotonic()
        timing = message.args.get("timing", {})
        if message.type == Reply.MASK:
            timing |= {"queue": job.started - job.received, "server": now - job.received}
            self.figures.add_times(timing)
        self.log.write(
            "answer",
            client=job.session.label,
            scene=job.predict.scene[:8],
            clicks=len(job.predict.positions),
            code=message.args.get("code"),
            trace=message.args.pop("trace", None),
            timing={stage: round(seconds, 4) for stage, seconds in timing.items()},
        )
        self.answer_job(job, message)

    def _hand_out(self) -> None:
        while any(worker.job is None for worker in self.workers.ready):
            job = self.sessions.next_job()
            if job is None:
                return
            scene = self.scenes.find(job.predict.scene)
            if job.overdue:
                self._end_late(job)
                continue
            if scene is None:
                gone = "The server does not have this scan (any more); send it again."
                self.answer_job(job, error_message(job.id, ErrorCode.UNKNOWN_SCENE, gone))
                continue
            message = job.predict.message(job.id)
            message.args |= {
                "memory": scene.memory.name,
                "points": scene.points,
                "has_colors": scene.has_colors,
            }
            worker = self.workers.idle_for(job.predict.scene)
            try:
                self._desk.check_options(job.predict.options)  # it may have been asked before a worker was ready
            except ProtocolError as error:
                self.answer_job(job, error_message(job.id, error.code, error.message))
                continue
            job.session.running[job.id] = job
            if not self.workers.give(worker, job, message):
                self._replace(worker, "could not be reached")
                self._run_again(job)

    def _end_late(self, job: Job) -> None:
        late = "The request waited longer than its deadline; ask again when the server is less busy."
        self.answer_job(job, error_message(job.id, ErrorCode.BUSY, late))

    def _tick(self) -> None:
        now = time.monotonic()
        slept = now - self._ticked
        if slept > 2.0:
            # The machine slept, or this process was stopped: nobody else was silent.
            self.workers.forgive_silence(slept)
            for session in self.sessions:
                session.heard += slept
                for job in session.queue.values():
                    job.received += slept
        self._ticked = now
        for worker, reason in self.workers.lost():
            self._replace(worker, reason)
        if not self.stopping:
            self.workers.start_due()
        for session in self.sessions:
            if now - session.heard > self.settings.client_silence:
                self.sessions.close(session)
            for job in [job for job in session.queue.values() if job.overdue]:
                self._end_late(session.queue.pop(job.id))
        self.scenes.drop_silent(self.settings.upload_silence)
        self._desk.forget_dropped()
        self._desk.tell_positions()
        self._write_figures(now)
        if len(self.sessions):
            self._busy_at = now
        if self.settings.idle_exit is not None and now - self._busy_at > self.settings.idle_exit:
            self.stopping, self._stop_at = True, now

    def _write_figures(self, now: float) -> None:
        if self.settings.figures_file is None or now < self._figures_at:
            return
        self._figures_at = now + self.settings.figures_every
        try:
            # whatever ends in .prom is read by the monitoring
            with replacing(self.settings.figures_file, suffix=".part") as file:
                file.write_text(exposition(state_of(self)), encoding="utf-8")
        except UserError as error:
            # monitoring misses a beat, artists miss nothing
            self.log.write("figures not written", message=str(error))

    def _replace(self, worker: Worker, reason: str) -> None:
        self.log.write("worker lost", worker=worker.name.decode(), reason=reason)
        self.workers.remove(worker)
        if worker.job is not None:
            self._run_again(worker.job)
        elif self.workers.failed_starts[worker.number] >= MOST_FAILED_STARTS:
            if not self._announced:
                raise UserError(
                    f"The network's process {reason} before it was ready, {MOST_FAILED_STARTS} times: has the machine "
                    "enough memory, and does PyTorch run here ('python install.py demo' shows that)?"
                )
            self._give_up_waiting("The server's network can't be started; whoever runs it finds why in its log.")

    def _give_up_waiting(self, sentence: str) -> None:
        """Answer what waits where no worker can take it."""
        if not self.workers.ready:
            for job in self.sessions.waiting():
                job.session.queue.pop(job.id)
                self.answer_job(job, error_message(job.id, ErrorCode.INTERNAL, sentence))

    def _run_again(self, job: Job) -> None:
        job.tries += 1
        if job.abandoned:
            job.session.running.pop(job.id, None)
        elif job.tries < self.settings.job_tries:
            job.session.running.pop(job.id, None)
            self.sessions.put_back(job)
        else:
            log_id = secrets.token_hex(4)
            self.log.write("request given up", log=log_id, clicks=len(job.predict.positions))
            sentence = (
                "The server's network failed again and again on this request, so it was given up; its log "
                f"tells more under {log_id}."
            )
            self.answer_job(job, error_message(job.id, ErrorCode.INTERNAL, sentence))

    def _finished(self) -> bool:
        if not self.stopping:
            return False
        working = any(worker.job for worker in self.workers)
        idle = not working and (not self.sessions.waiting() or not self.workers.ready)
        return idle or time.monotonic() >= self._stop_at

    def _close(self) -> None:
        for session in self.sessions:
            self.send(session, Message(Reply.BYE))
        self._socket.close()
        if self._gate is not None:
            self._gate.close()
        self.workers.close()
        self.scenes.close()
        self._context.term()
        self._workers_context.term()
        self.log.write("stop")
        self.log.close()
