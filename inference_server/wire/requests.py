"""What the messages of each type hold: built by one side and read by the other, in one place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .packing import pack_mask, pack_probabilities, unpack_mask, unpack_probabilities
from .protocol import Arguments, Click, ErrorCode, Message, ProtocolError, Reply, Request, array_of

SMALLEST_VOXEL, LARGEST_VOXEL = 1e-4, 100.0
"""Metres; outside of this a working voxel size is a mistake of units."""
LONGEST_DEADLINE = 3600.0
FEWER_CLICKS = "take some back, or accept the object and correct it as a new one"


@dataclass(frozen=True)
class PutScene:
    """Announces a scene: its hash, how many points it has, whether it has colours."""

    scene: str
    points: int
    has_colors: bool

    def message(self, request: int) -> Message:
        args = {"scene": self.scene, "points": self.points, "has_colors": self.has_colors}
        return Message(Request.PUT_SCENE, request, args)

    @classmethod
    def read(cls, message: Message) -> "PutScene":
        args = Arguments(message.args)
        return cls(args.scene(), args.integer("points", low=1), args.flag("has_colors"))


@dataclass(frozen=True)
class Chunk:
    """Part of a scene: float32 (n, 3) positions and uint8 (n, 3) colours or None, from point index *
    CHUNK_POINTS."""

    scene: str
    index: int
    positions: np.ndarray
    colors: np.ndarray | None

    def message(self, request: int) -> Message:
        arrays = {"positions": self.positions}
        if self.colors is not None:
            arrays["colors"] = self.colors
        return Message(Request.CHUNK, request, {"scene": self.scene, "index": self.index}, arrays)

    @classmethod
    def read(cls, message: Message) -> "Chunk":
        args = Arguments(message.args)
        positions = array_of(message, "positions", "float32", columns=3)
        colors = array_of(message, "colors", "uint8", columns=3) if "colors" in message.arrays else None
        if colors is not None and len(colors) != len(positions):
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A chunk needs as many colours as positions.")
        return cls(args.scene(), args.integer("index"), positions, colors)


@dataclass(frozen=True)
class Predict:
    """Asks for the mask of one object. The answer depends on nothing but the weights, the scene and this.

    positions: float64 (n, 3) metres; vertices: int64 (n,), -1 = none; positive, joined: uint8 (n,); all in clicking
    order.
    deadline: seconds after which an answer that has not begun is not wanted any more, or None.
    """

    scene: str
    object_id: str
    positions: np.ndarray
    vertices: np.ndarray
    positive: np.ndarray
    joined: np.ndarray
    voxel_size: float
    options: dict[str, Any] = field(default_factory=dict)
    probabilities: bool = False
    deadline: float | None = None

    @classmethod
    def of_clicks(cls, scene: str, object_id: str, clicks: Sequence[Click], voxel_size: float, **more) -> "Predict":
        return cls(
            scene,
            object_id,
            np.array([click.position for click in clicks], np.float64).reshape(-1, 3),
            np.array([click.vertex for click in clicks], np.int64),
            np.array([click.positive for click in clicks], np.uint8),
            np.array([click.joined for click in clicks], np.uint8),
            voxel_size,
            **more,
        )

    @property
    def clicks(self) -> list[Click]:
        arrays = (self.positions, self.positive, self.vertices, self.joined)
        rows = zip(*(array.tolist() for array in arrays), strict=True)
        return [Click(tuple(place), bool(positive), vertex, bool(joined)) for place, positive, vertex, joined in rows]

    def message(self, request: int) -> Message:
        args = {"scene": self.scene, "object": self.object_id, "voxel_size": self.voxel_size}
        args |= {"options": self.options, "probabilities": self.probabilities}
        if self.deadline is not None:
            args["deadline"] = self.deadline
        arrays = {"positions": self.positions, "vertices": self.vertices, "positive": self.positive}
        arrays["joined"] = self.joined
        return Message(Request.PREDICT, request, args, arrays)

    @classmethod
    def read(cls, message: Message) -> "Predict":
        """Raises ProtocolError for anything that can be seen to be wrong without the scene."""
        args = Arguments(message.args)
        positions = array_of(message, "positions", "float64", columns=3)
        vertices, positive = array_of(message, "vertices", "int64"), array_of(message, "positive", "uint8")
        joined = np.zeros(len(positive), np.uint8)  # may be left out: no click was given with another
        if "joined" in message.arrays:
            joined = array_of(message, "joined", "uint8")
        if not len(positions) == len(vertices) == len(positive) == len(joined):
            raise ProtocolError(ErrorCode.BAD_REQUEST, "Clicks need as many positions as vertices and labels.")
        if not len(positions):
            raise ProtocolError(ErrorCode.BAD_REQUEST, "There is no click: click on the object first.")
        if not np.isfinite(positions).all():
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A click's position is not a finite number.")
        if positive.max() > 1:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A click's label is 0 or 1.")
        if vertices.min() < -1:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A click's vertex is an index, or -1.")
        deadline = args.number("deadline", 0, LONGEST_DEADLINE) if "deadline" in message.args else None
        return cls(
            args.scene(),
            args.text("object"),
            positions,
            vertices,
            positive,
            joined,
            args.number("voxel_size", SMALLEST_VOXEL, LARGEST_VOXEL),
            args.table("options"),
            args.flag("probabilities", default=False),
            deadline,
        )


def too_many_clicks(clicks: int, most: int) -> str:
    """The sentence for an object with more clicks than a server takes."""
    return f"The object has {clicks:,} clicks and the server takes {most:,}: {FEWER_CLICKS}."


def mask_message(
    request: int,
    scene: str,
    object_id: str,
    mask: np.ndarray,
    probabilities: np.ndarray | None,
    timing: dict[str, float],
    indices: np.ndarray | None = None,
) -> Message:
    """The answer to a Predict: bool (N,) mask, uint8 (N,) probabilities or None, seconds per stage.

    indices: of points outside of which both are zero, where that is known.
    """
    arrays = pack_mask(mask, indices)
    if probabilities is not None:
        arrays |= pack_probabilities(probabilities, indices)
    args = {"scene": scene, "object": object_id, "points": len(mask), "timing": timing}
    return Message(Reply.MASK, request, args, arrays)


def read_mask(message: Message, points: int) -> tuple[np.ndarray, np.ndarray | None, dict[str, float]]:
    """Mask, probabilities and timing of an answer about a scene of `points` points. Raises ProtocolError."""
    if Arguments(message.args).integer("points") != points:
        raise ProtocolError(ErrorCode.BAD_REQUEST, "The mask is for a scene with another number of points.")
    timing = {
        str(stage): float(seconds)
        for stage, seconds in Arguments(message.args).table("timing").items()
        if isinstance(seconds, (int, float))
    }
    return unpack_mask(message.arrays, points), unpack_probabilities(message.arrays, points), timing


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself. `ready` is False while its model is loading.

    instance: new for every start of a server, so that a client notices that another one answers.
    limits: points, clicks, scenes_per_client, uploads_per_client, queue_per_client, memory_bytes; a server
    may tell fewer.
    """

    version: str
    instance: str
    ready: bool
    model: str
    models: tuple[str, ...]
    device: str
    engine: str
    limits: dict[str, int]

    def message(self, request: int) -> Message:
        return Message(Reply.INFO, request, {**vars(self), "models": list(self.models)})

    @classmethod
    def read(cls, message: Message) -> "ServerInfo":
        args = Arguments(message.args)
        limits = {str(name): value for name, value in args.table("limits").items() if isinstance(value, int)}
        models = message.args.get("models")
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise ProtocolError(ErrorCode.BAD_REQUEST, "'models' must be a list of names.")
        return cls(
            args.text("version"),
            args.text("instance"),
            args.flag("ready"),
            args.text("model"),
            tuple(models),
            args.text("device"),
            args.text("engine"),
            limits,
        )


def error_message(request: int, code: ErrorCode, sentence: str) -> Message:
    """A typed error: its code, and one sentence for the artist."""
    return Message(Reply.ERROR, request, {"code": str(code), "message": sentence})


def read_error(message: Message) -> tuple[ErrorCode, str]:
    """Code and sentence of an error; a code that this version doesn't know reads as internal."""
    sentence = Arguments(message.args).text("message", longest=2000)
    try:
        return ErrorCode(message.args.get("code")), sentence
    except ValueError:
        return ErrorCode.INTERNAL, sentence
