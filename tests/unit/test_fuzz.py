"""Every way in which the wire can refuse a message is met by malformed ones."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from malformed import mutated
from test_protocol import READERS, SCENE, recorded

from inference_server.wire import packing, protocol, requests
from inference_server.wire.protocol import ErrorCode, Message, ProtocolError, Reply, decode, encode
from inference_server.wire.requests import ServerInfo, error_message, mask_message, read_error, read_mask

POINTS = 4096
MESSAGES = 6_000
MODULES = (protocol, requests, packing)


def answers() -> list[Message]:
    """A valid message of every kind that a server sends and a client reads further."""
    mask, probabilities = np.zeros(POINTS, bool), np.zeros(POINTS, np.uint8)
    mask[700], probabilities[700] = True, 200
    info = ServerInfo("1", "a", True, "m", ("m",), "cpu", "torch", {"points": 5})
    return [
        mask_message(3, SCENE, "lamp", mask, probabilities, {"network": 0.1}),
        mask_message(3, SCENE, "lamp", ~mask, None, {}),
        info.message(1),
        error_message(2, ErrorCode.BUSY, "Later."),
    ]


def read(message: Message) -> None:
    """What the receiving side does with a message."""
    if message.type == Reply.MASK:
        read_mask(message, POINTS)
    elif message.type == Reply.INFO:
        ServerInfo.read(message)
    elif message.type == Reply.ERROR:
        read_error(message)
    elif message.type == "hello":
        protocol.Arguments(message.args).text("client", longest=64)
    elif message.type == "drop_scene":
        protocol.Arguments(message.args).scene()
    else:
        READERS.get(message.type, lambda message: None)(message)


def refusals() -> set[tuple[str, int]]:
    """File and line of every `raise ProtocolError` and of `raise ValueError` inside the JSON reader."""
    found = set()
    for module in MODULES:
        for number, line in enumerate(Path(module.__file__).read_text(encoding="utf-8").splitlines(), 1):
            if "raise ProtocolError(" in line or "raise ValueError(" in line:
                found.add((module.__file__, number))
    return found


@contextmanager
def lines_met(met: set[tuple[str, int]]) -> Iterator[None]:
    """Note which lines of the wire's modules run."""
    files = {module.__file__ for module in MODULES}

    def trace(frame, event, _):
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            met.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_every_refusal_is_met_and_typed_and_nothing_else_is_raised():
    rng = random.Random(0)
    valid = [[bytes(frame) for frame in encode(message)] for message in [*recorded(), *answers()]]
    met: set[tuple[str, int]] = set()
    codes: dict[ErrorCode, int] = {}
    with lines_met(met):
        for number in range(MESSAGES):
            noise = number % 8 == 0
            frames = [rng.randbytes(rng.randrange(50)) for _ in range(rng.randrange(4))] if noise else None
            try:
                read(decode(mutated(rng.choice(valid), rng) if frames is None else frames))
            except ProtocolError as error:
                codes[error.code] = codes.get(error.code, 0) + 1
        for frames in ([], [b'{"version": NaN}'], [b'{"version": 1e999}'], [b"x" * (protocol.MAX_HEADER_BYTES + 1)]):
            try:
                read(decode(frames))
            except ProtocolError as error:
                codes[error.code] = codes.get(error.code, 0) + 1
    assert not refusals() - met, sorted(refusals() - met)
    assert set(codes) == {ErrorCode.BAD_REQUEST, ErrorCode.UNSUPPORTED_VERSION, ErrorCode.TOO_LARGE}
    assert sum(codes.values()) > MESSAGES / 2
