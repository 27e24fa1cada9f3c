"""Messages on the wire: a JSON header frame and one raw frame per array. docs/protocol.md tells the whole
protocol.

Everything that arrives is checked here before anything is allocated for it: sizes, types, shapes against
bytes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

PROTOCOL_VERSION = 3
DEFAULT_ADDRESS = "tcp://127.0.0.1:47600"

CHUNK_POINTS = 65_536
"""Points in one chunk of an upload, and in one block of the scene's hash."""
MAX_FRAMES = 8
MAX_HEADER_BYTES = 64 * 1024
MAX_FRAME_BYTES = 4 * 1024 * 1024
"""Largest frame that a server takes; a chunk of positions has 768 KiB."""
MAX_ID = 2**53
"""Request ids stay exact in every JSON reader."""

_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("uint8", "uint32", "int64", "float32", "float64")}
_MAX_DIMENSIONS = 2


class _Word(str, Enum):
    """A word of the protocol; text like any other in JSON and in comparisons."""

    __str__ = str.__str__


class ErrorCode(_Word):
    """Why a request was not answered with what it asked for."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_SCENE = "unknown_scene"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out_of_memory"
    INTERNAL = "internal"


class Request(_Word):
    """What a client may ask."""

    HELLO = "hello"
    PUT_SCENE = "put_scene"
    CHUNK = "chunk"
    PREDICT = "predict"
    CANCEL = "cancel"
    DROP_SCENE = "drop_scene"
    STATUS = "status"
    PING = "ping"


class Reply(_Word):
    """What a server may say."""

    INFO = "info"
    SCENE = "scene"
    QUEUED = "queued"
    MASK = "mask"
    STATUS = "status"
    PONG = "pong"
    ERROR = "error"
    WHO = "who"
    BYE = "bye"


@dataclass(frozen=True)
class Click:
    """One click. Its place in a list of clicks is its place in time.

    position: metres, in the scene's own frame.
    vertex: index of the clicked vertex in the scene, -1 where only the position is known.
    joined: whether it was given together with the click before it, and no answer lies between the two.
    """

    position: tuple[float, float, float]
    positive: bool
    vertex: int = -1
    joined: bool = False


class ProtocolError(Exception):
    """A message that breaks a rule; becomes a typed error for its sender."""

    def __init__(self, code: ErrorCode, message: str, request: int = 0):
        super().__init__(message)
        self.code = code
        self.message = message
        self.request = request


@dataclass
class Message:
    """One message. `arrays` are read-only views into the frames they came in."""

    type: str
    id: int = 0
    args: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def encode(message: Message) -> list[bytes | memoryview]:
    """Frames of a message; arrays go without a copy where they are contiguous and little endian already."""
    described, frames = [], []
    for name, array in message.arrays.items():
        dtype = _DTYPES[array.dtype.name]
        array = np.ascontiguousarray(array, dtype=dtype)
        described.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape)})
        frames.append(memoryview(array.reshape(-1)).cast("B") if array.size else b"")
    header = {"version": PROTOCOL_VERSION, "id": message.id, "type": str(message.type), "args": message.args}
    header["arrays"] = described
    return [json.dumps(header, allow_nan=False, separators=(",", ":")).encode(), *frames]


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """Read a message's frames.

    Raises ProtocolError: unsupported_version where the version is another (the rest is then not looked at),
    too_large for more frames or a longer header than allowed, bad_request for everything else.
    """
    if not frames:
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The message has no header frame.")
    if len(frames) > MAX_FRAMES:
        raise ProtocolError(ErrorCode.TOO_LARGE, f"A message has at most {MAX_FRAMES} frames.")
    header = _read_header(frames[0])
    request = header.get("id")
    if not _is_integer(request, 0, MAX_ID):
        request = 0
    try:
        return _read_message(header, frames[1:])
    except ProtocolError as error:
        error.request = request
        raise


def _read_header(frame: bytes | memoryview) -> dict:
    if len(frame) > MAX_HEADER_BYTES:
        raise ProtocolError(ErrorCode.TOO_LARGE, f"A header has at most {MAX_HEADER_BYTES} bytes.")
    try:
        header = json.loads(bytes(frame).decode("utf-8"), parse_constant=_reject_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The header is not JSON.") from None
    if not isinstance(header, dict):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The header is not a JSON object.")
    return header


def _reject_constant(name: str) -> None:
    raise ValueError(name)


def _finite(number: str) -> float:
    """1e999 is infinity to Python, and could not be passed on."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(number)
    return value


def _read_message(header: dict, frames: Sequence[bytes | memoryview]) -> Message:
    version = header.get("version")
    if not _is_integer(version, 0, MAX_ID):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The header has no protocol version.")
    if version != PROTOCOL_VERSION:
        raise ProtocolError(
            ErrorCode.UNSUPPORTED_VERSION,
            f"This side speaks protocol version {PROTOCOL_VERSION}, the other side version {version}: "
            "update the older one.",
        )
    if not _is_integer(header.get("id"), 0, MAX_ID):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The header has no request id.")
    kind, args, described = header.get("type"), header.get("args"), header.get("arrays")
    if not isinstance(kind, str) or not 0 < len(kind) <= 32:
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The header has no message type.")
    if not isinstance(args, dict):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The arguments are not a JSON object.")
    if not isinstance(described, list) or len(described) != len(frames):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The header does not describe the frames that follow it.")
    arrays: dict[str, np.ndarray] = {}
    for description, frame in zip(described, frames, strict=True):
        name, array = _read_array(description, frame)
        if name in arrays:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "Two arrays have the same name.")
        arrays[name] = array
    return Message(kind, header["id"], args, arrays)


def _read_array(description: object, frame: bytes | memoryview) -> tuple[str, np.ndarray]:
    if not isinstance(description, dict):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "An array is not described by a JSON object.")
    name, dtype, shape = description.get("name"), description.get("dtype"), description.get("shape")
    if not isinstance(name, str) or not 0 < len(name) <= 32:
        raise ProtocolError(ErrorCode.BAD_REQUEST, "An array has no name.")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"Arrays are one of {', '.join(_DTYPES)}.")
    if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_DIMENSIONS:
        raise ProtocolError(ErrorCode.BAD_REQUEST, "An array has one or two dimensions.")
    if not all(_is_integer(length, 0, MAX_ID) for length in shape):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "An array's shape is not made of whole numbers.")
    if math.prod(shape) * _DTYPES[dtype].itemsize != len(frame):
        raise ProtocolError(ErrorCode.BAD_REQUEST, "An array's shape and its bytes disagree.")
    array = np.frombuffer(frame, dtype=_DTYPES[dtype]).reshape(shape)
    array.flags.writeable = False
    return name, array


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


class Arguments:
    """Typed reading of a message's arguments; every miss is a bad_request that names the argument."""

    def __init__(self, args: Mapping[str, Any]):
        self._args = args

    def integer(self, name: str, low: int = 0, high: int = MAX_ID, default: int | None = None) -> int:
        value = self._args.get(name, default)
        if not _is_integer(value, low, high):
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' must be a whole number from {low} to {high}.")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        value = self._args.get(name, default)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' must be a number from {low:g} to {high:g}.")
        return float(value)

    def text(self, name: str, longest: int = 200, default: str | None = None) -> str:
        value = self._args.get(name, default)
        if not isinstance(value, str) or not len(value) <= longest:
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' must be text of at most {longest} characters.")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        value = self._args.get(name, default)
        if not isinstance(value, bool):
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' must be true or false.")
        return value

    def table(self, name: str) -> dict:
        value = self._args.get(name, {})
        if not isinstance(value, dict):
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' must be an object.")
        return value

    def scene(self) -> str:
        """The scene's hash: 64 hexadecimal digits."""
        value = self._args.get("scene")
        if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise ProtocolError(ErrorCode.BAD_REQUEST, "'scene' must be a hash of 64 hexadecimal digits.")
        return value


def array_of(message: Message, name: str, dtype: str, columns: int | None = None) -> np.ndarray:
    """An array of a message with the dtype and number of columns that its type asks for (None: one
    dimension)."""
    array = message.arrays.get(name)
    if array is None or array.dtype != _DTYPES[dtype]:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"The array '{name}' of {dtype} is missing.")
    if array.ndim != (1 if columns is None else 2) or (columns is not None and array.shape[1] != columns):
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"The array '{name}' has a wrong shape.")
    return array
