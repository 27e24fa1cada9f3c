"""What a client tells its user: connection states, events, and the errors of blocking use."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from .protocol import ErrorCode


class ConnectionState(Enum):
    """Where a client stands with its server."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    INCOMPATIBLE = "incompatible"


@dataclass(frozen=True)
class MaskReady:
    """A mask. mask: bool (N,); probabilities: uint8 (N,), 255 = certain, or None; timing: seconds per stage.

    timing has "network", the predictor's other stages, "server" (all of the server's time) and "wire" (the
    rest of the round trip, the client's own polling interval included).
    """

    request: int
    object_id: str
    scene: str
    mask: np.ndarray
    probabilities: np.ndarray | None
    timing: dict[str, float]


@dataclass(frozen=True)
class RequestFailed:
    """A request that gets no mask. request 0 and object_id "" mean the upload of `scene` itself."""

    request: int
    object_id: str
    scene: str
    code: ErrorCode
    message: str


@dataclass(frozen=True)
class Queued:
    """A request waits on the server behind `position` others."""

    request: int
    position: int


@dataclass(frozen=True)
class StateChanged:
    """The connection's state or its sentence changed."""

    state: ConnectionState
    text: str


@dataclass(frozen=True)
class UploadProgress:
    """How much of a scene the server has, 0..1."""

    scene: str
    fraction: float


Event = MaskReady | RequestFailed | Queued | StateChanged | UploadProgress


class RequestError(Exception):
    """Raised by blocking use: the request failed with `code`; the text is one sentence for the user."""

    def __init__(self, code: ErrorCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message
