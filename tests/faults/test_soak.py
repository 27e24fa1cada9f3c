"""Many clients for a while, many that come and go, and many malformed messages: nothing wrong, nothing
grows."""

import random
import statistics
import time
from pathlib import Path

import pytest
import zmq
from light_server import a_scan, connected, server, sphere
from malformed import mutated

from inference_server.wire.client import Client, ConnectionState, MaskReady, RequestFailed
from inference_server.wire.protocol import Click, Message, ProtocolError, Reply, Request, decode, encode
from inference_server.wire.requests import Chunk, Predict, PutScene

SIZE = {"voxel_size": 0.05}
SCENE = "0123456789abcdef" * 4


def memory_of(process: int) -> int:
    """Bytes in memory, Linux only."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        pytest.skip("memory is read from /proc, which this system does not have")
    return int(status.read_text().partition("VmRSS:")[2].split()[0]) * 1024


class Artist:
    """A client that clicks again as soon as its mask arrives, on a scan of its own."""

    def __init__(self, address: str, number: int):
        self.client = Client(address)
        self.scan = a_scan(20_000, seed=number)
        self.scene = self.client.put_scene(self.scan)
        self.random = random.Random(number)
        self.times: list[float] = []
        self.clicks: list[Click] = []
        self.request = 0

    def click(self) -> None:
        if len(self.clicks) == 4:
            self.clicks = []
        place = tuple(self.random.uniform(0, 4) for _ in range(3))
        self.clicks.append(Click(place, not self.clicks or self.random.random() < 0.6))
        self.request = self.client.predict(self.scene, "a", self.clicks, options={"delay": 0.005}, **SIZE)
        self.clock = time.perf_counter()

    def step(self) -> None:
        for event in self.client.poll():
            assert not isinstance(event, RequestFailed), event
            if isinstance(event, MaskReady):
                assert event.request == self.request
                self.times.append(time.perf_counter() - self.clock)
                assert (event.mask == sphere(self.scan, self.clicks)[0]).all()
                self.click()


def test_eight_clients(soak_seconds):
    with server() as process, connected(process.address) as watcher:
        worker = process.worker_pid()
        artists = [Artist(process.address, number) for number in range(8)]
        for artist in artists:
            artist.click()
        started, warm = time.monotonic(), 0
        while time.monotonic() - started < soak_seconds:
            for artist in artists:
                artist.step()
            watcher.poll(1)
            if not warm and time.monotonic() - started > min(60, soak_seconds / 2):
                warm = memory_of(process.process.pid) + memory_of(worker)
        grown = (memory_of(process.process.pid) + memory_of(worker)) / warm - 1
        medians = [statistics.median(artist.times) for artist in artists]
        for artist in artists:
            artist.client.close()
        print(
            f"\n{sum(len(artist.times) for artist in artists)} masks, all right; medians "
            f"{1000 * min(medians):.1f} to {1000 * max(medians):.1f} ms; memory {100 * grown:+.2f} %"
        )
        assert max(medians) <= 1.5 * min(medians)
        assert grown <= 0.03


def test_clients_that_come_and_go(reconnects):
    with server() as process, connected(process.address) as watcher:
        scan = a_scan(seed=1)
        sizes = []
        for number in range(reconnects):
            client = Client(process.address)
            deadline = time.monotonic() + 20
            while client.state is not ConnectionState.CONNECTED:
                assert time.monotonic() < deadline
                client.poll(10)
            if number % 10 == 0:
                scene = client.put_scene(scan)
                request = client.predict(scene, "a", [Click((1, 1, 1), True)], **SIZE)
                assert client.wait(request, 20).mask.any()
            client.close()
            watcher.poll()
            if number >= reconnects // 2:
                sizes.append(memory_of(process.process.pid))
        assert sizes[-1] <= 1.03 * sizes[0]


def recorded() -> list[list[bytes]]:
    """A valid message of every kind, as frames."""
    scan = a_scan(4)
    messages = [
        Message(Request.HELLO, 1, {"client": "soaking" * 4}),
        PutScene(SCENE, 4, False).message(2),
        Chunk(SCENE, 0, scan, None).message(2),
        Predict.of_clicks(SCENE, "lamp", [Click((1.0, 2.0, 3.0), True, 2)], 0.05).message(3),
        Message(Request.CANCEL, 3),
        Message(Request.DROP_SCENE, 4, {"scene": SCENE}),
        Message(Request.STATUS, 5),
        Message(Request.PING, 6),
    ]
    return [[bytes(frame) for frame in encode(message)] for message in messages]


def readable(frames: list[bytes]) -> bool:
    try:
        decode(frames)
    except ProtocolError:
        return False
    return True


def test_malformed_messages(malformed):
    """Three of four are valid ones with a mistake, the others noise; whatever can't be read is answered by an error."""
    rng = random.Random(0)
    known = recorded()
    codes: dict[str, int] = {}
    with server() as process, connected(process.address) as watcher:
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(process.address)
        size = unreadable = 0
        for number in range(malformed):
            if number % 4:
                frames = mutated(rng.choice(known), rng)
            else:
                frames = [rng.randbytes(rng.randrange(1, 200)) for _ in range(rng.randrange(1, 12))]
            socket.send_multipart(frames)
            unreadable += not readable(frames)
            if number % 50 == 49:
                # A ping after every fifty: its answer shows that none of them stopped the server.
                socket.send_multipart(encode(Message(Request.PING, 2**52 + number)))
                errors = 0
                while True:
                    assert socket.poll(60_000), "the server does not answer any more"
                    answer = decode(socket.recv_multipart())
                    kind = answer.args["code"] if answer.type == Reply.ERROR else answer.type
                    codes[kind] = codes.get(kind, 0) + 1
                    errors += answer.type == Reply.ERROR
                    if answer.id == 2**52 + number:
                        break
                assert errors >= unreadable
                unreadable = 0
                watcher.poll()
            if number == malformed // 2:
                size = memory_of(process.process.pid)
        socket.close(0)
        context.term()
        grown = memory_of(process.process.pid) / size - 1
        state = watcher.status()
        print(f"\n{malformed} messages: {codes}; memory {100 * grown:+.2f} %")
        assert grown <= 0.03 and state["workers_replaced"] == 0
        assert {"bad_request", "unsupported_version", "unknown_scene", "too_large"} <= set(codes)
