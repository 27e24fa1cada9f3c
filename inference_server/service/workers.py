"""Worker processes as the service sees them: started, given one job at a time, watched, killed and
replaced."""

import multiprocessing
import time
from dataclasses import dataclass, field
from typing import Any

import zmq

from ..wire.protocol import Message, ProtocolError, decode, encode
from .sessions import Job
from .settings import BYTES_PER_POINT, Settings
from .worker import ALIVE, WorkerSetup, run_worker

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


@dataclass(eq=False)
class Worker:
    """One worker process and what is known of it."""

    number: int
    process: Any
    name: bytes
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    ready: bool = False
    facts: dict = field(default_factory=dict)
    """What it said of itself: model, device, engine, options, memory."""
    job: Job | None = None
    used: float = 0.0
    """When it was given its last job (time.perf_counter)."""
    scenes: dict[str, float] = field(default_factory=dict)
    """Scenes that it has prepared, or had before others took their place: when it was last given a job on each."""


class Workers:
    """The worker processes of a service.

    They are spoken to over a socket of their own on loopback, encrypted with keys that exist only in these
    processes, so that sending to a hung worker never blocks and no other program of this machine can take a
    worker's place.
    """

    def __init__(self, context: zmq.Context, settings: Settings):
        self._settings = settings
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.router_mandatory = 1
        public, secret = zmq.curve_keypair()
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = public, secret
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self._setup = WorkerSetup(f"tcp://127.0.0.1:{port}", public.decode(), settings.predictor)
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: dict[int, Worker] = {}
        self._pauses = dict.fromkeys(range(len(settings.workers)), FIRST_PAUSE)
        self._start_at = dict.fromkeys(range(len(settings.workers)), 0.0)
        self._generation = 0
        self.restarts = 0
        self.failed_starts = dict.fromkeys(range(len(settings.workers)), 0)
        """How often each worker has ended, one time after the other, before it was ready."""
        self.proven: set[int] = set()
        """Numbers of the workers that were ready once; others may never be, on a device that is not there."""

    def __iter__(self):
        return iter(list(self._workers.values()))

    @property
    def ready(self) -> list[Worker]:
        return [worker for worker in self if worker.ready]

    def start_due(self) -> None:
        """Start the workers that are missing and may be started now."""
        now = time.monotonic()
        for number in self._pauses:
            if number not in self._workers and now >= self._start_at[number]:
                try:
                    self._workers[number] = self._start(number)
                except OSError:  # no memory or handles for another process now
                    self._pause(number)

    def idle_for(self, scene: str) -> Worker | None:
        """An idle worker: the one that worked on this scene last, or else the one that was idle longest."""
        idle = [worker for worker in self if worker.ready and worker.job is None]
        known = [worker for worker in idle if scene in worker.scenes]
        if known:
            return max(known, key=lambda worker: worker.scenes[scene])
        return min(idle, key=lambda worker: worker.used, default=None)

    def give(self, worker: Worker, job: Job, message: Message) -> bool:
        """Hand a job to an idle worker; False where the worker can't be reached."""
        try:
            self.socket.send_multipart([worker.name, *encode(message)], zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        worker.job = job
        worker.used = worker.scenes[job.predict.scene] = job.started = time.perf_counter()
        return True

    def forget(self, scene: str) -> None:
        """A scene is gone: no worker needs what it prepared of it."""
        for worker in self:
            worker.scenes.pop(scene, None)
        self._tell_all(Message("forget", args={"scene": scene}))

    def _tell_all(self, message: Message) -> None:
        """Tell every worker something that needs no answer."""
        for worker in self.ready:
            try:
                self.socket.send_multipart([worker.name, *encode(message)], zmq.DONTWAIT)
            except zmq.ZMQError:
                continue

    def receive(self) -> tuple[Worker, Message] | None:
        """The next message of a living worker, or None."""
        while True:
            try:
                name, *frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return None
            sender = name.bytes.removesuffix(ALIVE)
            worker = next((worker for worker in self if worker.name == sender), None)
            if worker is None:
                continue
            worker.heard = time.monotonic()
            try:
                return worker, decode([frame.buffer for frame in frames])
            except ProtocolError:
                continue

    def lost(self) -> list[tuple[Worker, str]]:
        """Workers that died, went silent or take too long, with the reason."""
        now, found = time.monotonic(), []
        for worker in self:
            job_time = time.perf_counter() - worker.job.started if worker.job else 0.0
            if worker.process.exitcode is not None:
                found.append((worker, f"died with exit code {worker.process.exitcode}"))
            elif not worker.ready and now - worker.started > self._settings.worker_start:
                found.append((worker, "did not start in time"))
            elif worker.ready and now - worker.heard > self._settings.worker_silence:
                found.append((worker, "went silent"))
            elif job_time > self._settings.job_seconds:
                found.append((worker, "took too long for one request"))
        return found

    def forgive_silence(self, seconds: float) -> None:
        """The service itself did nothing for so long (the machine slept): that was no worker's silence."""
        for worker in self:
            worker.heard += seconds
            worker.started += seconds
            if worker.job is not None:
                worker.job.started += seconds

    def remove(self, worker: Worker) -> None:
        """Kill a worker and let another take its place, after a growing pause where it never became ready."""
        worker.process.kill()
        worker.process.join(1.0)
        del self._workers[worker.number]
        self.restarts += 1
        if worker.ready:
            self._pauses[worker.number] = FIRST_PAUSE
            self._start_at[worker.number] = 0.0
            self.failed_starts[worker.number] = 0
        else:
            self._pause(worker.number)
            self.failed_starts[worker.number] += 1

    def _pause(self, number: int) -> None:
        pause = self._pauses[number]
        self._start_at[number] = time.monotonic() + pause
        self._pauses[number] = min(pause * 2, LONGEST_PAUSE)

    def close(self) -> None:
        """Ask the workers to end, and end those that don't."""
        self._tell_all(Message("stop"))
        deadline = time.monotonic() + 1.0
        for worker in self:
            worker.process.join(max(deadline - time.monotonic(), 0.0) if worker.job is None else 0.0)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join(1.0)
        self.socket.close(0)

    def _start(self, number: int) -> Worker:
        self._generation += 1
        name = f"worker-{self._generation}"
        settings = self._settings
        # what one worker has sorted no other one needs to
        most_points = settings.memory // BYTES_PER_POINT // len(settings.workers)
        arguments = (self._setup, name, settings.workers[number], settings.threads, most_points)
        process = self._spawn.Process(target=run_worker, args=arguments, name=name, daemon=True)
        process.start()
        return Worker(number, process, name.encode())
