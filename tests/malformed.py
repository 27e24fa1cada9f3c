"""Malformed messages: valid ones with a mistake in them, of the kinds that programs and attackers make."""

import json
import random

import numpy as np

from inference_server.wire.protocol import MAX_FRAMES, MAX_HEADER_BYTES

JUNK = [None, True, -1, 0, 2, 2**60, 1e300, "", "x" * 100, "x" * 300, "nan", [], [1, [2]], {}, {"a": None}]
NUMBERS = [np.nan, np.inf, -np.inf, -5, 2, 255, 1e30]


def mutated(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """The frames of a message with one thing changed."""
    frames = list(frames)
    which = rng.randrange(len(frames))
    match rng.randrange(12):
        case 0:
            frame = bytearray(frames[which] or b"\0")
            frame[rng.randrange(len(frame))] = rng.randrange(256)
            frames[which] = bytes(frame)
        case 1:
            frames[which] = frames[which][: rng.randrange(len(frames[which]) + 1)]
        case 2:
            del frames[which]
        case 3:
            frames.insert(which, rng.randbytes(rng.randrange(64)))
        case 4:
            frames += [b""] * rng.randrange(1, 2 * MAX_FRAMES)
        case 5 | 6 | 7:
            frames[0] = _with_array_changed(frames, rng)
        case _:
            header = json.loads(frames[0])
            target = rng.choice([header, header["args"] or header, *header["arrays"]])
            target[rng.choice(sorted(target))] = rng.choice(JUNK)
            if rng.random() < 0.02:
                header["padding"] = "x" * MAX_HEADER_BYTES
            frames[0] = json.dumps(header).encode()
    return frames or [b""]


def _with_array_changed(frames: list[bytes], rng: random.Random) -> bytes:
    """Change an array (in place, among the frames) and its description so that the two still go together."""
    header = json.loads(frames[0])
    if not header["arrays"]:
        return b"[" + frames[0] + b"]"
    number = rng.randrange(len(header["arrays"]))
    match rng.randrange(16):
        case 0:
            header["arrays"][number] = rng.choice(JUNK)
            return json.dumps(header).encode()
        case 1:
            for place, every in enumerate(header["arrays"], 1):
                every["shape"][0], frames[place] = 0, b""
            return json.dumps(header).encode()
    described = header["arrays"][number]
    array = np.frombuffer(frames[number + 1], described["dtype"]).reshape(described["shape"]).copy()
    match rng.randrange(6):
        case 0:
            array = array[: rng.randrange(len(array) + 1)]
        case 1:
            array = np.concatenate([array, array])
        case 2:
            array = array.reshape(-1) if array.ndim == 2 else array[:, None]
        case 3:
            array = array.astype(rng.choice(["uint8", "uint32", "int64", "float32", "float64"]))
        case 4:
            described["name"] = rng.choice(header["arrays"])["name"]
        case _:
            with np.errstate(all="ignore"):
                array.flat[rng.randrange(array.size) : None] = np.array(rng.choice(NUMBERS)).astype(array.dtype)
    described |= {"dtype": array.dtype.name, "shape": list(array.shape)}
    frames[number + 1] = array.tobytes()
    return json.dumps(header).encode()
