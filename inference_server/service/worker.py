"""The worker process: keeps the network and prepared scenes, answers one predict after the other.

It is started by the service and ends with it. Only this process imports torch.
"""

import ctypes
import importlib
import inspect
import os
import re
import secrets
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, get_args, get_type_hints

import zmq

from ..errors import UserError, is_out_of_memory
from ..wire.protocol import Arguments, ErrorCode, Message, ProtocolError, decode, encode
from ..wire.requests import Predict, error_message, mask_message
from .shared import scene_arrays

ALIVE = b".alive"
"""What the identity of a worker's heartbeats ends in."""
ALIVE_EVERY = 0.5
LARGE_REGION = 60_000
"""Voxels of a region from which on what it needed for a while is given back to the system."""
PLAIN = (bool, int, float, str)
"""Kinds of options that a message can hold."""
DEVICE_LOST = 3
"""Exit code of a worker whose device is beyond repair; the service starts another."""


@dataclass(frozen=True)
class WorkerSetup:
    """How a worker reaches its service, and what it runs: 'module:class' of the predictor."""

    address: str
    service_key: str
    predictor: str


def run_worker(setup: WorkerSetup, name: str, options: dict, threads: int | None, most_points: int) -> None:
    """Body of the process. options: the predictor's keyword arguments; most_points: prepared scenes kept, in
    points."""
    # what is meant for the whole group of processes: the service finishes what runs, and ends its workers itself
    for wish in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, wish):
            signal.signal(getattr(signal, wish), signal.SIG_IGN)
    _die_with_service()
    # Threads that spin while they wait for each other starve everything else on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    context = zmq.Context()
    threading.Thread(target=_say_alive, args=(context, setup, name), daemon=True).start()
    socket = _connect(context, setup, name.encode())
    try:
        predictor = _make_predictor(setup.predictor, options, threads)
    except Exception as error:
        _send(socket, describe(error, failed="The server can't load its network"))
        # The service ends this process when it has read why.
        socket.poll(10_000)
        os._exit(1)
    _send(socket, Message("ready", args=_introduce(predictor)))
    prepared = _PreparedScenes(predictor, most_points)
    while True:
        try:
            message = decode([frame.buffer for frame in socket.recv_multipart(copy=False)])
        except ProtocolError as error:
            _send(socket, error_message(error.request, error.code, error.message))
            continue
        if message.type == "stop":
            os._exit(0)
        if message.type == "forget":
            prepared.forget(Arguments(message.args).scene())
        else:
            _send(socket, prepared.answer(message))
            prepared.give_back_memory()


def _die_with_service() -> None:
    """On Linux the kernel ends this process with its service, even where it is stopped and can't look itself."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _connect(context: zmq.Context, setup: WorkerSetup, identity: bytes) -> zmq.Socket:
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.identity = identity
    public, secret = zmq.curve_keypair()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.curve_serverkey = setup.service_key.encode()
    socket.connect(setup.address)
    return socket


def _send(socket: zmq.Socket, message: Message) -> None:
    socket.send_multipart(encode(message), copy=False)


def _say_alive(context: zmq.Context, setup: WorkerSetup, name: str) -> None:
    """Heartbeats on a socket of their own, whatever the network computes; ends the process with its
    service."""
    socket = _connect(context, setup, name.encode() + ALIVE)
    parent = parent_process()
    while parent is None or parent.is_alive():
        _send(socket, Message("alive", args={"memory": memory_in_use()}))
        time.sleep(ALIVE_EVERY)
    os._exit(1)


def _make_predictor(predictor: str, options: dict, threads: int | None) -> Any:
    module, _, name = predictor.partition(":")
    factory = getattr(importlib.import_module(module), name)
    if threads and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return factory(**options)


def _introduce(predictor: Any) -> dict:
    kinds = get_type_hints(predictor.predict_on)
    return {
        "model": predictor.name,
        "device": predictor.device,
        "engine": predictor.engine,
        "options": {
            name: [kind.__name__ for kind in get_args(kinds[name]) or (kinds[name],) if kind in PLAIN]
            for name in inspect.signature(predictor.predict_on).parameters
            if name not in ("scene", "clicks")
        },
    }


class _PreparedScenes:
    """The predictor with the scenes prepared for it, least recently used ones let go."""

    def __init__(self, predictor: Any, most_points: int):
        self._predictor = predictor
        self._most_points = most_points
        self._prepared: OrderedDict[tuple[str, float], tuple[Any, int]] = OrderedDict()
        self._voxels = 0

    def forget(self, scene: str) -> None:
        for key in [key for key in self._prepared if key[0] == scene]:
            del self._prepared[key]

    def answer(self, message: Message) -> Message:
        """The reply to a job: a mask, or a typed error. Where memory runs out, once more without anything kept."""
        for last_try in (False, True):
            try:
                return self._predict(message)
            except Exception as error:
                if _is_device_lost(error):
                    os._exit(DEVICE_LOST)
                if not is_out_of_memory(error) or last_try:
                    return describe(error, message.id)
            self._release_memory()
        raise AssertionError("the last try returns")

    def _predict(self, message: Message) -> Message:
        request = Predict.read(message)
        clock = time.perf_counter()
        scene = self._prepare(message, request)
        prepared = time.perf_counter() - clock
        prediction = self._predictor.predict_on(scene, request.clicks, **request.options)
        self._voxels = prediction.voxels
        timing = {"prepare": prepared, **prediction.timing}
        probabilities = prediction.probabilities if request.probabilities else None
        clock = time.perf_counter()
        reply = mask_message(
            message.id, request.scene, request.object_id, prediction.mask, probabilities, timing, prediction.indices
        )
        timing["packing"] = time.perf_counter() - clock
        return reply

    def _prepare(self, message: Message, request: Predict) -> Any:
        key = (request.scene, request.voxel_size)
        if key in self._prepared:
            self._prepared.move_to_end(key)
            return self._prepared[key][0]
        args = Arguments(message.args)
        points, has_colors = args.integer("points"), args.flag("has_colors")
        while self._prepared and self._kept_points + points > self._most_points:
            self._prepared.popitem(last=False)
        try:
            memory = SharedMemory(args.text("memory"))
        except FileNotFoundError:
            raise ProtocolError(ErrorCode.UNKNOWN_SCENE, "The scan is gone; send it again.") from None
        try:
            positions, colors = scene_arrays(memory, points, has_colors)
            scene = self._predictor.prepare(positions, colors, request.voxel_size)
            del positions, colors
        finally:
            memory.close()
        self._prepared[key] = (scene, points)
        return scene

    def give_back_memory(self) -> None:
        """After a large region: the heap's free pages, which glibc would keep; other C libraries are left alone."""
        if self._voxels >= LARGE_REGION and sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim:
                trim(0)
        self._voxels = 0

    @property
    def _kept_points(self) -> int:
        return sum(points for _, points in self._prepared.values())

    def _release_memory(self) -> None:
        self._prepared.clear()
        self._predictor.release_memory()


def describe(error: Exception, request: int = 0, failed: str = "The server failed on this request") -> Message:
    """The typed error for an exception: its own sentence where it was meant for the user, else a log id."""
    if isinstance(error, UserError):
        return error_message(request, ErrorCode.BAD_REQUEST, str(error))
    if isinstance(error, ProtocolError):
        return error_message(request, error.code, error.message)
    if is_out_of_memory(error):
        sentence = (
            "The device has not enough memory for this region: choose a larger voxel size, or run the server "
            "on the CPU (--device cpu)."
        )
        return error_message(request, ErrorCode.OUT_OF_MEMORY, sentence)
    return internal_error(error, request, failed)


def internal_error(error: Exception, request: int = 0, failed: str = "The server failed on this request") -> Message:
    """The typed error for what nobody foresaw. `trace`, which names its log id, is the log's and not the client's."""
    log_id = secrets.token_hex(4)
    reply = error_message(request, ErrorCode.INTERNAL, f"{failed}; its log tells more under {log_id}.")
    reply.args["trace"] = f"{log_id} {_trace(error)}"
    return reply


def _trace(error: Exception) -> str:
    """Where an exception came from, without any number that might be geometry."""
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    text = re.sub(r"[-+]?\d+\.\d*(e[-+]?\d+)?", "#", str(error))
    return f"{type(error).__name__}: {text[:300]} ({' > '.join(places[-8:])})"


def _is_device_lost(error: Exception) -> bool:
    """After most errors of CUDA itself nothing works any more in the process that met them."""
    return "CUDA error" in str(error) and not is_out_of_memory(error)


def memory_in_use() -> int:
    """Bytes of this process in memory; where the system only tells the most it ever was, that; 0 where it
    doesn't."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
