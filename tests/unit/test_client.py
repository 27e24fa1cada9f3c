"""The client against real servers that come, go, refuse and forget."""

import gc
import json
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
import zmq
from light_server import LightServer, a_scan, connected, free_port, server, sphere

from inference_server.wire import client as client_module
from inference_server.wire.client import (
    Client,
    ConnectionState,
    MaskReady,
    Queued,
    RequestError,
    RequestFailed,
    StateChanged,
    UploadProgress,
)
from inference_server.wire.protocol import (
    PROTOCOL_VERSION,
    Click,
    ErrorCode,
    Message,
    Reply,
    decode,
    encode,
)
from inference_server.wire.requests import mask_message
from inference_server.wire.scene_hash import scene_hash

CLICKS = [Click((1.0, 1.0, 1.0), True), Click((1.4, 1.0, 1.0), False)]
SIZE = {"voxel_size": 0.05}


@pytest.fixture(scope="module")
def running() -> Iterator[LightServer]:
    with server() as process:
        yield process


@pytest.fixture
def client(running: LightServer) -> Iterator[Client]:
    with connected(running.address) as connected_client:
        yield connected_client


def events_until(client: Client, done, timeout: float = 15.0) -> list:
    """Poll until an event fulfils `done`; all events on the way."""
    events, deadline = [], time.monotonic() + timeout
    while not any(done(event) for event in events):
        assert time.monotonic() < deadline, (client.state_text, events)
        events += client.poll(20)
    return events


class TestUse:
    def test_clicks_in_masks_out(self, client):
        scan = a_scan()
        scene = client.put_scene(scan)
        answer = client.wait(client.predict(scene, "lamp", CLICKS, probabilities=True, **SIZE), 15)
        mask, probabilities = sphere(scan, CLICKS)
        assert (answer.mask == mask).all() and (answer.probabilities == probabilities).all()
        assert (answer.object_id, answer.scene) == ("lamp", scene)
        assert {"network", "server", "wire", "queue"} <= set(answer.timing)

    def test_polling_tells_everything_that_happens(self, client):
        scan = a_scan(200_000, seed=1)
        scene = client.put_scene(scan, np.zeros((200_000, 3), np.uint8))
        assert client.busy and client.upload_progress(scene) == 0
        request = client.predict(scene, "lamp", CLICKS, **SIZE)
        events = events_until(client, lambda event: isinstance(event, MaskReady))
        fractions = [event.fraction for event in events if isinstance(event, UploadProgress)]
        assert fractions == sorted(fractions) and len(set(fractions)) > 3 and fractions[-1] == 1
        assert [event.request for event in events if isinstance(event, MaskReady)] == [request]
        assert client.upload_progress(scene) == 1 and not client.busy

    def test_waiting_leaves_other_events_for_the_poll(self, client):
        scene = client.put_scene(a_scan())
        first = client.predict(scene, "a", CLICKS, **SIZE)
        second = client.predict(scene, "b", CLICKS, **SIZE)
        client.wait(second, 15)
        assert first in [event.request for event in client.poll() if isinstance(event, MaskReady)]

    def test_waiting_has_an_end(self, client):
        scene = client.put_scene(a_scan())
        request = client.predict(scene, "a", CLICKS, options={"delay": 1.0}, **SIZE)
        with pytest.raises(TimeoutError, match=r"No answer within 0.1 s. Connected"):
            client.wait(request, 0.1)
        assert client.wait(request, 15).request == request

    def test_a_scene_that_the_server_has_is_not_sent_again(self, running, client):
        scan = a_scan(300_000, seed=2)
        client.wait(client.predict(client.put_scene(scan), "a", CLICKS, **SIZE), 15)
        with connected(running.address) as other:
            scene = other.put_scene(scan.copy())
            events = events_until(other, lambda event: event == UploadProgress(scene, 1.0))
            assert [event.fraction for event in events if isinstance(event, UploadProgress)] == [1.0]

    def test_many_scenes_take_turns_and_the_server_tells_none_to_wait(self, client):
        scenes = [client.put_scene(a_scan(1000, seed=100 + number)) for number in range(12)]
        deadline = time.monotonic() + 15
        while any(client.upload_progress(scene) < 1 for scene in scenes):
            assert time.monotonic() < deadline
            client.poll(5)
            assert not any(client.upload_waits(scene) for scene in scenes)

    def test_equal_scenes_of_one_client_become_one(self, client):
        scan = a_scan(seed=3)
        first, second = client.put_scene(scan), client.put_scene(scan.copy())
        assert first != second
        client.wait(client.predict(second, "a", CLICKS, **SIZE), 15)
        assert client.upload_progress(first) == client.upload_progress(second) == 1
        client.drop_scene(first)
        assert client.wait(client.predict(second, "a", CLICKS, **SIZE), 15).scene == second

    def test_a_dropped_scene_is_gone(self, client):
        scene = client.put_scene(a_scan(seed=4))
        request = client.predict(scene, "a", CLICKS, **SIZE)
        client.drop_scene(scene)
        assert [event.code for event in client.poll() if isinstance(event, RequestFailed)] == [ErrorCode.CANCELLED]
        for use in (
            client.upload_progress,
            client.drop_scene,
            lambda key: client.predict(key, "a", CLICKS, **SIZE),
        ):
            with pytest.raises(KeyError):
                use(scene)
        assert not [event for event in client.poll(200) if getattr(event, "request", None) == request]

    def test_cancelling_ends_a_request_once(self, client):
        scene = client.put_scene(a_scan())
        client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15)
        request = client.predict(scene, "a", CLICKS, options={"delay": 0.4}, **SIZE)
        client.poll(100)
        client.cancel(request)
        client.cancel(request)
        client.wait(client.predict(scene, "b", CLICKS, **SIZE), 15)
        ends = [event for event in client.poll() if getattr(event, "request", None) == request]
        assert [event.code for event in ends] == [ErrorCode.CANCELLED]

    def test_a_newer_click_of_an_object_takes_the_place_of_the_waiting_one(self, client):
        scene = client.put_scene(a_scan())
        client.wait(client.predict(scene, "x", CLICKS, **SIZE), 15)
        running = client.predict(scene, "other", CLICKS, options={"delay": 0.5}, **SIZE)
        older = client.predict(scene, "lamp", CLICKS[:1], **SIZE)
        newer = client.predict(scene, "lamp", CLICKS, **SIZE)
        with pytest.raises(RequestError) as caught:
            client.wait(older, 15)
        assert caught.value.code is ErrorCode.SUPERSEDED
        assert client.wait(newer, 15).mask.any() and client.wait(running, 15).mask.any()

    def test_a_request_that_waits_is_told_its_place(self, client):
        scene = client.put_scene(a_scan())
        for name in "abc":
            client.predict(scene, name, CLICKS, options={"delay": 0.3}, **SIZE)
        last = client.predict(scene, "d", CLICKS, **SIZE)
        events = events_until(client, lambda event: isinstance(event, MaskReady) and event.request == last)
        places = [event.position for event in events if isinstance(event, Queued) and event.request == last]
        assert places and places == sorted(places, reverse=True) and places[0] == 3

    @pytest.mark.parametrize(
        "change",
        [
            {"voxel_size": float("nan")},
            {"voxel_size": "wide"},
            {"deadline": float("inf")},
            {"options": {"delay": np.float32(0.1)}},
            {"options": {("delay",): 1}},
            {"clicks": [Click((1.0, 1.0), True)]},
            {"clicks": [Click((1.0, 1.0, 1.0), True, 2**70)]},
            {"clicks": [Click((1.0, 1.0, 1.0), None)]},
        ],
    )
    def test_what_no_message_holds_is_refused_at_once_and_changes_nothing(self, client, change):
        scene = client.put_scene(a_scan())
        before = client.predict(scene, "a", CLICKS, **SIZE)
        with pytest.raises(ValueError, match="numbers, text and flags"):
            client.predict(scene, "a", **{"clicks": CLICKS, **SIZE, **change})
        assert client.wait(before, 15).mask.any()

    @pytest.mark.parametrize(
        ("name", "clicks", "words"),
        [("a", 10_001, "has 10,001 clicks and the server takes 10,000"), ("x" * 70_000, 1, "a shorter name")],
    )
    def test_what_is_too_large_for_the_wire_ends_with_a_sentence(self, client, name, clicks, words):
        scene = client.put_scene(a_scan())
        large = client.predict(scene, name, CLICKS[:1] * clicks, **SIZE)
        small = client.predict(scene, "b", CLICKS, **SIZE)
        with pytest.raises(RequestError, match=words) as caught:
            client.wait(large, 15)
        assert caught.value.code is ErrorCode.TOO_LARGE
        assert client.wait(small, 15).mask.any()
        assert not [event for event in client.poll() if isinstance(event, StateChanged)]

    def test_options_that_change_after_the_call_change_no_request(self, client):
        options = {"delay": 0.0}
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, options=options, **SIZE)
        options["delay"] = float("nan")
        assert client.wait(request, 15).mask.any()

    def test_arrays_that_are_no_scene_are_refused_at_once(self, client):
        for bad in (np.zeros((0, 3)), np.zeros((5, 2)), np.zeros(3)):
            with pytest.raises(ValueError, match="N x 3 numbers"):
                client.put_scene(bad)
        for bad in (np.zeros((4, 3), np.uint8), np.zeros((5, 3), np.float32)):
            with pytest.raises(ValueError, match="N x 3 bytes"):
                client.put_scene(np.zeros((5, 3)), bad)

    def test_status_tells_what_the_server_does(self, client):
        state = client.status()
        assert state["ready"] and state["model"] == "sphere" and len(state["clients"]) >= 1

    def test_a_state_that_does_not_come_has_a_sentence_of_its_own(self, scripted):
        script, client = scripted
        script.welcome(client)
        with pytest.raises(TimeoutError, match=r"is there but did not tell its state within 0.1 s"):
            client.status(0.1)

    def test_polling_takes_no_time_even_with_a_large_scene(self, client):
        scan = a_scan(4_000_000, seed=5)
        scene = client.put_scene(scan)
        longest = []
        while client.upload_progress(scene) < 1:
            clock = time.thread_time()
            client.poll()
            longest.append(time.thread_time() - clock)
            time.sleep(0.002)
        assert np.quantile(longest, 0.98) < 3 * client_module.BUDGET + 0.01, max(longest)

    def test_a_closed_client_does_nothing_more(self, running):
        client = Client(running.address)
        client.poll()
        client.close()
        client.close()
        assert client.poll(10) == [] and client.state is ConnectionState.DISCONNECTED


class TestConnection:
    def test_without_a_server_it_says_so_and_never_blocks(self, monkeypatch):
        monkeypatch.setattr("inference_server.wire.connection.HELLO_TIMEOUT", 0.3)
        client = Client(f"tcp://127.0.0.1:{free_port()}")
        clock = time.monotonic()
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        events = client.poll()
        assert time.monotonic() - clock < 2
        assert client.state is ConnectionState.CONNECTING and "Looking for a server" in client.state_text
        events_until(client, lambda event: isinstance(event, StateChanged) and "start it" in event.text)
        client.cancel(request)
        assert [type(event) for event in client.poll()] == [RequestFailed]
        assert all(isinstance(event, StateChanged) for event in events)
        client.close()

    def test_a_client_that_is_there_first_finds_its_server(self):
        address = f"tcp://127.0.0.1:{free_port()}"
        client = Client(address)
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        client.poll(200)
        with server(address):
            assert client.wait(request, 20).mask.any()
        client.close()

    @pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "http://127.0.0.1:80"])
    def test_an_address_that_is_none(self, address):
        client = Client(address)
        client.poll()
        assert client.state is ConnectionState.DISCONNECTED and "can't be connected to" in client.state_text
        client.close()

    def test_a_key_that_is_none(self):
        client = Client(server_key="short")
        client.poll()
        assert client.state is ConnectionState.DISCONNECTED and "40 characters" in client.state_text
        client.close()

    def test_silence_while_nobody_polled_is_not_the_servers(self, running, monkeypatch):
        monkeypatch.setattr("inference_server.wire.connection.SILENCE", 1.5)
        with connected(running.address) as client:
            client.poll(100)
            time.sleep(2.0)
            assert not [event for event in client.poll(200) if isinstance(event, StateChanged)]
            assert client.state is ConnectionState.CONNECTED

    @pytest.mark.parametrize("listens_on", ["127.0.0.1", "localhost"])
    def test_localhost_is_the_same_for_client_and_server(self, listens_on):
        port = free_port()
        with server(f"tcp://{listens_on}:{port}"), connected(f"tcp://localhost:{port}") as client:
            assert client.status()["ready"]

    def test_over_ipv6(self):
        if not has_ipv6():
            pytest.skip("this machine has no IPv6")
        with server(f"tcp://[::1]:{free_port()}") as process, connected(process.address) as client:
            assert client.wait(client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE), 20).mask.any()

    def test_the_state_is_asked_again_of_a_server_that_was_restarted(self):
        with server() as process, connected(process.address) as client:
            process.process.kill()
            process.process.wait()
            with server(process.address):
                assert client.status(20)["address"] == process.address


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


class ScriptedServer:
    """A real socket on which the test itself says what the server says."""

    def __init__(self):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.identity = b""

    def next(self, client: Client, kind: str | None) -> Message:
        """The client's next message of a kind, other kinds are skipped; None: the next but pings."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            client.poll(5)
            if self._socket.poll(5):
                self.identity, *frames = self._socket.recv_multipart()
                message = decode(frames)
                if message.type == kind or (kind is None and message.type != "ping"):
                    return message
        raise AssertionError(f"no {kind} came")

    def say(self, message: Message, version: int = PROTOCOL_VERSION, cut: bool = False) -> None:
        frames = [bytes(frame) for frame in encode(message)]
        frames[0] = json.dumps(json.loads(frames[0]) | {"version": version}).encode()
        if cut:
            frames[-1] = frames[-1][:-1]
        self._socket.send_multipart([self.identity, *frames])

    def welcome(self, client: Client, instance: str = "a", **limits: int) -> None:
        hello = self.next(client, "hello")
        info = {"version": "9", "instance": instance, "ready": True, "model": "m", "models": ["m"]}
        self.say(Message(Reply.INFO, hello.id, {**info, "device": "cpu", "engine": "e", "limits": limits}))
        deadline = time.monotonic() + 5
        while client.state is not ConnectionState.CONNECTED:
            assert time.monotonic() < deadline
            client.poll(10)

    def take_scene(self, client: Client) -> None:
        put = self.next(client, "put_scene")
        self.say(Message(Reply.SCENE, put.id, {"scene": put.args["scene"], "next": 1, "ready": True}))

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


@pytest.fixture
def scripted() -> Iterator[tuple[ScriptedServer, Client]]:
    script = ScriptedServer()
    client = Client(script.address)
    yield script, client
    client.close()
    script.close()


class TestStrangeServers:
    def test_another_version_is_named_and_nothing_is_lost(self, scripted):
        script, client = scripted
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        hello = script.next(client, "hello")
        script.say(Message(Reply.INFO, hello.id, {}), version=4)
        events_until(client, lambda event: isinstance(event, StateChanged) and "version 3" in event.text)
        assert client.state is ConnectionState.INCOMPATIBLE and "version 4" in client.state_text
        assert not [event for event in client.poll(100) if getattr(event, "request", 0) == request]

    def test_a_server_that_finds_us_too_new_says_it_itself(self, scripted):
        script, client = scripted
        hello = script.next(client, "hello")
        sentence = "This side speaks protocol version 1, the other side version 3: update the older one."
        script.say(Message(Reply.ERROR, hello.id, {"code": "unsupported_version", "message": sentence}))
        events_until(client, lambda event: event == StateChanged(ConnectionState.INCOMPATIBLE, sentence))

    def test_a_full_server_is_asked_again_later(self, scripted, monkeypatch):
        monkeypatch.setattr("inference_server.wire.connection.LONGEST_PAUSE", 0.2)
        script, client = scripted
        hello = script.next(client, "hello")
        script.say(Message(Reply.ERROR, hello.id, {"code": "busy", "message": "The server has 64 clients."}))
        events_until(client, lambda event: isinstance(event, StateChanged) and "64 clients" in event.text)
        script.welcome(client)

    def test_what_nobody_polls_for_does_not_pile_up(self, scripted):
        script, client = scripted
        script.welcome(client)
        scene = client.put_scene(a_scan())
        request = client.predict(scene, "a", CLICKS, **SIZE)
        script.take_scene(client)
        script.next(client, "predict")
        for position in (3, 2, 1):
            script.say(Message(Reply.QUEUED, request, {"position": position}))
            with pytest.raises(TimeoutError):
                client.wait(request, 0.2)
        assert client.poll(20) == [Queued(request, 1)]
        script.say(Message(Reply.QUEUED, request, {"position": 0}))
        script.say(mask_message(request, "", "a", np.ones(5000, bool), None, {}))
        assert client.wait(request, 5).mask.all()
        assert client.poll(20) == []

    def test_a_mask_that_can_not_be_read_fails_its_request(self, scripted):
        script, client = scripted
        script.welcome(client)
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        script.take_scene(client)
        script.next(client, "predict")
        script.say(Message(Reply.MASK, request, {"points": 5000}, {"mask": np.zeros(3, np.uint8)}), cut=True)
        with pytest.raises(RequestError, match="unreadable") as caught:
            client.wait(request, 5)
        assert caught.value.code is ErrorCode.INTERNAL

    def test_a_mask_of_the_wrong_length_fails_its_request(self, scripted):
        script, client = scripted
        script.welcome(client)
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        script.take_scene(client)
        script.next(client, "predict")
        script.say(Message(Reply.MASK, request, {"points": 7}, {"mask": np.zeros(1, np.uint8)}))
        with pytest.raises(RequestError, match="another number of points"):
            client.wait(request, 5)

    def test_answers_to_nothing_are_dropped(self, scripted):
        script, client = scripted
        script.welcome(client)
        for kind in Reply:
            if kind not in (Reply.BYE, Reply.WHO, Reply.INFO):
                script.say(Message(kind, 4711, {"code": "busy", "message": "?", "ready": True}))
        script.say(Message("news", 1))
        assert client.poll(200) == [] and client.state is ConnectionState.CONNECTED

    def test_clicks_that_no_frame_holds_are_not_sent_to_a_server_that_tells_no_limits(self, scripted):
        script, client = scripted
        script.welcome(client)
        scene = client.put_scene(a_scan())
        large = client.predict(scene, "a", CLICKS * 90_000, **SIZE)
        client.predict(scene, "b", CLICKS, **SIZE)
        script.take_scene(client)
        with pytest.raises(RequestError, match="180,000 clicks, more than a message holds") as caught:
            client.wait(large, 5)
        assert script.next(client, "predict").args["object"] == "b"
        assert caught.value.code is ErrorCode.TOO_LARGE

    def test_a_forgotten_scene_is_sent_again_by_itself(self, scripted):
        script, client = scripted
        script.welcome(client)
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        script.take_scene(client)
        script.next(client, "predict")
        script.say(Message(Reply.ERROR, request, {"code": "unknown_scene", "message": "Gone."}))
        script.take_scene(client)
        again = script.next(client, "predict")
        assert again.id == request

    def test_a_server_that_always_forgets_is_not_asked_forever(self, scripted):
        script, client = scripted
        script.welcome(client)
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        for _ in range(client_module.MOST_TRIES):
            script.take_scene(client)
            script.next(client, "predict")
            script.say(Message(Reply.ERROR, request, {"code": "unknown_scene", "message": "Gone."}))
        with pytest.raises(RequestError, match="Gone"):
            client.wait(request, 5)

    def test_a_refused_scene_fails_its_requests_with_the_reason(self, scripted):
        script, client = scripted
        script.welcome(client)
        scene = client.put_scene(a_scan())
        request = client.predict(scene, "a", CLICKS, **SIZE)
        put = script.next(client, "put_scene")
        script.say(Message(Reply.ERROR, put.id, {"code": "too_large", "message": "Thin it."}))
        events = events_until(client, lambda event: getattr(event, "request", None) == request)
        failures = [event for event in events if isinstance(event, RequestFailed)]
        assert {event.request for event in failures} == {0, request}
        assert {event.code for event in failures} == {ErrorCode.TOO_LARGE} and failures[0].message == "Thin it."
        later = client.predict(scene, "a", CLICKS, **SIZE)
        put = script.next(client, "put_scene")
        script.say(Message(Reply.ERROR, put.id, {"code": "too_large", "message": "Thin it all the same."}))
        events = events_until(client, lambda event: getattr(event, "request", None) == later)
        assert events[-1].message == "Thin it all the same."

    def test_a_busy_server_gets_the_scene_later(self, scripted, monkeypatch):
        monkeypatch.setattr(client_module, "RETRY_BUSY", 0.1)
        script, client = scripted
        script.welcome(client)
        client.put_scene(a_scan())
        first = script.next(client, "put_scene")
        script.say(Message(Reply.ERROR, first.id, {"code": "busy", "message": "Full."}))
        second = script.next(client, "put_scene")
        assert second.id != first.id and second.args == first.args

    def test_the_scene_with_a_click_takes_the_first_place(self, scripted):
        script, client = scripted
        scenes = [client.put_scene(a_scan(seed=number)) for number in range(3)]
        client.predict(scenes[2], "a", CLICKS, **SIZE)
        while client.busy:
            client.poll(5)
        script.welcome(client, uploads_per_client=1)
        for number in (2, 0, 1):
            put = script.next(client, "put_scene")
            assert put.args["scene"] == scene_hash(a_scan(seed=number))
            script.say(Message(Reply.SCENE, put.id, {"scene": put.args["scene"], "next": 1, "ready": True}))

    def test_a_restarted_server_gets_everything_again(self, scripted):
        script, client = scripted
        script.welcome(client, "a")
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
        script.take_scene(client)
        before = script.next(client, "predict")
        script.say(Message(Reply.WHO, 1))
        script.welcome(client, "b")
        script.take_scene(client)
        again = script.next(client, "predict")
        assert again.id == request and again.args == before.args

    def test_a_scene_that_was_dropped_without_a_connection_is_dropped_when_there_is_one(self, scripted):
        script, client = scripted
        script.welcome(client)
        scene = client.put_scene(a_scan())
        put = script.next(client, "put_scene")
        script.say(Message(Reply.WHO, 1))
        events_until(client, lambda event: getattr(event, "state", None) is ConnectionState.LOST)
        client.drop_scene(scene)
        client.put_scene(a_scan())
        script.welcome(client)
        assert script.next(client, None).args == {"scene": put.args["scene"]}
        assert script.next(client, None).args == put.args

    def test_a_silent_server_is_lost_within_three_seconds(self, scripted):
        script, client = scripted
        script.welcome(client)
        clock = time.monotonic()
        events = events_until(client, lambda event: isinstance(event, StateChanged))
        assert time.monotonic() - clock < 3.0
        assert events[-1].state is ConnectionState.LOST and "stopped answering" in events[-1].text


def test_a_client_that_is_forgotten_unclosed_stops_nothing(running):
    """Garbage collection must never wait for a socket: in Blender it would freeze the window."""
    client = Client(running.address)
    while client.state is not ConnectionState.CONNECTED:
        client.poll(20)
    cycle = [client]
    cycle.append(cycle)
    clock = time.monotonic()
    del client, cycle
    gc.collect()
    assert time.monotonic() - clock < 5
