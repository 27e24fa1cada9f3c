"""The service: a real server process, spoken to through real sockets."""

import ctypes
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from light_server import LightServer, a_scan, connected, free_port, server, sphere, start_server, stop
from rich.console import Console
from test_protocol import mutations, recorded

from inference_server.commands.status import tables
from inference_server.service.log import ServiceLog
from inference_server.service.machine import machine_memory
from inference_server.service.scenes import SceneStore
from inference_server.service.settings import Settings, default_memory
from inference_server.service.state import exposition
from inference_server.wire.client import Client, ConnectionState, MaskReady, RequestError
from inference_server.wire.protocol import (
    CHUNK_POINTS,
    MAX_FRAME_BYTES,
    Click,
    ErrorCode,
    Message,
    ProtocolError,
    Reply,
    Request,
    decode,
    encode,
)
from inference_server.wire.requests import Chunk, Predict, PutScene, read_error, read_mask
from inference_server.wire.scene_hash import scene_hash

CLICKS = [Click((1.0, 1.0, 1.0), True), Click((1.4, 1.0, 1.0), False)]
SIZE = {"voxel_size": 0.05}
LIMITS = {
    "points": 200_000,
    "clicks": 5,
    "clients": 12,
    "scenes_per_client": 3,
    "queue_per_client": 3,
    "memory": 200_000 * 48,
    "client_silence": 5.0,
}


@pytest.fixture(scope="module")
def running() -> Iterator[LightServer]:
    with server() as process, connected(process.address):
        yield process


@pytest.fixture(scope="module")
def limited() -> Iterator[LightServer]:
    with server(**LIMITS) as process, connected(process.address):
        yield process


class Raw:
    """A client that says exactly what the test wants."""

    def __init__(self, address: str, token: str = "t" * 32, hello: bool = True):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(address)
        if hello:
            assert self.ask(Message(Request.HELLO, 1, {"client": token})).type == Reply.INFO

    def ask(self, message: Message) -> Message:
        self.say(message)
        return self.answer()

    def say(self, message: Message) -> None:
        self.socket.send_multipart(encode(message))

    def answer(self, timeout: float = 20) -> Message:
        """The next answer; notices of a place in the queue come as the machine's speed has it and are passed
        over."""
        while True:
            assert self.socket.poll(timeout * 1000), "no answer"
            answer = decode(self.socket.recv_multipart())
            if answer.type != Reply.QUEUED:
                return answer

    def refusal(self, message: Message) -> tuple[ErrorCode, str]:
        answer = self.ask(message)
        assert answer.type == Reply.ERROR and answer.id == message.id, answer
        return read_error(answer)

    def put(self, scan: np.ndarray, number: int = 10) -> Message:
        """Send a whole scene; the last answer."""
        answer = self.ask(PutScene(scene_hash(scan), len(scan), False).message(number))
        if answer.type == Reply.SCENE and not answer.args["ready"]:
            for index in range(answer.args["next"], -(-len(scan) // CHUNK_POINTS)):
                answer = self.ask(chunk(scan, index).message(number))
        return answer

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refused_start(settings: dict) -> subprocess.CompletedProcess:
    """A server that ends by itself, with what it says."""
    command = [sys.executable, str(Path(__file__).parents[1] / "light_server.py")]
    return subprocess.run(
        [*command, f"tcp://127.0.0.1:{free_port()}", json.dumps(settings)],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[1:3]))},
    )  # fmt: skip


def chunk(scan: np.ndarray, index: int) -> Chunk:
    return Chunk(scene_hash(scan), index, scan[index * CHUNK_POINTS : (index + 1) * CHUNK_POINTS], None)


def predict(scan: np.ndarray, name: str = "lamp", clicks: list[Click] = CLICKS, **more) -> Predict:
    return Predict.of_clicks(scene_hash(scan), name, clicks, 0.05, **more)


def may_mount() -> bool:
    """Whether a process here can get shared memory of its own."""
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    return not subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode


class TestScenes:
    @pytest.mark.skipif(not may_mount(), reason="shared memory of its own needs Linux and root")
    def test_full_shared_memory_is_said_and_harms_nobody(self):
        """It has room for one of two scans; then somebody else takes that."""
        small = 'mount -t tmpfs -o size=2m tmpfs /dev/shm && exec "$@"'
        service = start_server(inside=("unshare", "--mount", "sh", "-c", small, "sh"))
        scans = [a_scan(2 * CHUNK_POINTS - 10_000, seed=seed) for seed in (61, 62)]
        with (
            connected(service.address),
            Raw(service.address, "first" * 6) as first,
            Raw(service.address, "second" * 5) as second,
        ):
            code, sentence = first.refusal(PutScene("0" * 64, 200_000, False).message(2))
            assert code is ErrorCode.TOO_LARGE and "--shm-size" in sentence
            assert first.ask(PutScene(scene_hash(scans[0]), len(scans[0]), False).message(2)).type == Reply.SCENE
            assert first.ask(chunk(scans[0], 0).message(2)).type == Reply.SCENE
            code, sentence = second.refusal(PutScene(scene_hash(scans[1]), len(scans[1]), False).message(2))
            assert code is ErrorCode.BUSY and "waits" in sentence
            other = Path(f"/proc/{service.process.pid}/root/dev/shm/other")
            other.write_bytes(bytes(900_000))
            code, sentence = first.refusal(chunk(scans[0], 1).message(2))
            assert code is ErrorCode.TOO_LARGE and "--shm-size" in sentence
            other.unlink()
            assert second.put(scans[1]).args["ready"]
            answer = second.ask(predict(scans[1]).message(3))
            assert (read_mask(answer, len(scans[1]))[0] == sphere(scans[1], CLICKS)[0]).all()
        stop(service.process)

    def test_an_upload_goes_on_where_it_stopped(self, running):
        scan = a_scan(3 * CHUNK_POINTS + 5, seed=20)
        put = PutScene(scene_hash(scan), len(scan), False)
        with Raw(running.address, "resumes" * 4) as first:
            assert first.ask(put.message(2)).args == {"scene": put.scene, "next": 0, "ready": False}
            first.ask(chunk(scan, 0).message(2))
            first.ask(chunk(scan, 1).message(2))
        with Raw(running.address, "resumes" * 4) as again:
            assert again.ask(put.message(2)).args["next"] == 2
            again.ask(chunk(scan, 2).message(2))
            assert again.ask(chunk(scan, 3).message(2)).args == {"scene": put.scene, "next": 4, "ready": True}
            answer = again.ask(predict(scan).message(3))
            assert (read_mask(answer, len(scan))[0] == sphere(scan, CLICKS)[0]).all()

    def test_another_client_can_not_add_to_an_upload(self, running):
        scan = a_scan(2 * CHUNK_POINTS, seed=21)
        put = PutScene(scene_hash(scan), len(scan), False)
        with Raw(running.address, "a" * 32) as owner, Raw(running.address, "b" * 32) as other:
            owner.ask(put.message(2))
            owner.ask(chunk(scan, 0).message(2))
            assert other.ask(put.message(2)).args["next"] == 0
            assert other.put(scan).args["ready"]
            assert owner.ask(chunk(scan, 1).message(2)).args["ready"]

    def test_a_hash_that_lies_is_found_out(self, running):
        scan = a_scan(seed=22)
        lie = scene_hash(a_scan(seed=23))
        with Raw(running.address, "liar" * 8) as client:
            assert not client.ask(PutScene(lie, len(scan), False).message(2)).args["ready"]
            code, sentence = client.refusal(Chunk(lie, 0, scan, None).message(2))
            assert code is ErrorCode.BAD_REQUEST and "not the one announced" in sentence
            assert not client.ask(PutScene(lie, len(scan), False).message(3)).args["ready"]

    def test_a_known_hash_with_another_size_is_refused(self, running):
        scan = a_scan(seed=24)
        with Raw(running.address) as client:
            client.put(scan)
            code, sentence = client.refusal(PutScene(scene_hash(scan), 7, False).message(3))
            assert code is ErrorCode.BAD_REQUEST and "don't go together" in sentence

    def test_chunks_of_a_wrong_size_or_order_end_the_upload(self, running):
        scan = a_scan(2 * CHUNK_POINTS, seed=25)
        put = PutScene(scene_hash(scan), len(scan), False)
        with Raw(running.address, "wrong" * 5) as client:
            client.ask(put.message(2))
            code, sentence = client.refusal(Chunk(put.scene, 0, scan[:5], None).message(2))
            assert code is ErrorCode.BAD_REQUEST and "another size" in sentence
            client.ask(put.message(3))
            code, sentence = client.refusal(chunk(scan, 1).message(3))
            assert code is ErrorCode.BAD_REQUEST and "in order" in sentence
            colored = Chunk(put.scene, 0, scan[:CHUNK_POINTS], np.zeros((CHUNK_POINTS, 3), np.uint8))
            assert client.refusal(colored.message(3))[0] is ErrorCode.BAD_REQUEST

    def test_chunks_of_an_upload_that_is_no_more_are_not_kept(self, running):
        scan = a_scan(2 * CHUNK_POINTS, seed=26)
        put = PutScene(scene_hash(scan), len(scan), False)
        with Raw(running.address, "gone" * 8) as client:
            client.ask(put.message(2))
            client.say(Message(Request.DROP_SCENE, 3, {"scene": put.scene}))
            assert client.refusal(chunk(scan, 0).message(2))[0] is ErrorCode.UNKNOWN_SCENE
            assert client.ask(put.message(4)).args["next"] == 0

    def test_a_half_sent_scene_that_had_to_make_room_is_sent_again(self):
        scans = [a_scan(1_500_000, seed=seed) for seed in (27, 28)]
        settings = {"memory": 2_000_000 * 48, "upload_pause": 0.1}
        with server(**settings) as process, connected(process.address) as slow, connected(process.address) as quick:
            scene = slow.put_scene(scans[0])
            request = slow.predict(scene, "a", CLICKS, **SIZE)
            while not 0.2 < slow.upload_progress(scene) < 0.8:
                slow.poll(1)
            time.sleep(0.3)
            answer = quick.wait(quick.predict(quick.put_scene(scans[1]), "a", CLICKS, **SIZE), 30)
            assert (answer.mask == sphere(scans[1], CLICKS)[0]).all()
            assert (slow.wait(request, 30).mask == sphere(scans[0], CLICKS)[0]).all()

    def test_a_scan_that_waits_for_room_says_so_and_comes_in_by_itself(self):
        scans = [a_scan(60, seed=seed) for seed in (71, 72)]
        with (
            server(memory=100 * 48) as process,
            connected(process.address) as first,
            connected(process.address) as second,
        ):
            there = first.put_scene(scans[0])
            while first.upload_progress(there) < 1:
                first.poll(10)
            scene = second.put_scene(scans[1])
            until = time.monotonic() + 10
            while not (said := second.upload_waits(scene)):
                assert time.monotonic() < until
                second.poll(10)
            assert said == "The server's memory is full of scans in use; this one waits."
            while second.upload_progress(scene) < 1:
                assert time.monotonic() < until
                second.poll(10)
            assert second.upload_waits(scene) == ""

    def test_no_scene_goes_for_one_that_finds_no_place_all_the_same(self):
        store = SceneStore(Settings(memory=100 * 48, scene_pause=0))
        try:
            for number, points in enumerate((40, 40)):
                scan = a_scan(points, seed=number)
                upload = store.begin(PutScene(scene_hash(scan), points, False), "anna", number, set())
                assert store.write(upload, chunk(scan, 0))
            in_use = next(iter(store.whole))
            with pytest.raises(ProtocolError, match="full of scans in use"):
                store.begin(PutScene("0" * 64, 90, False), "bert", 1, {in_use})
            assert len(store.whole) == 2 and not store.dropped
            store.begin(PutScene("0" * 64, 60, False), "bert", 1, {in_use})
            assert list(store.whole) == [in_use] and len(store.dropped) == 1
        finally:
            store.close()

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
    def test_scenes_beyond_the_systems_handles_make_the_oldest_go(self):
        few = 'ulimit -n 128 && exec "$@"'
        service = start_server(inside=("sh", "-c", few, "sh"), scenes_per_client=500, scene_pause=0)
        scans = [a_scan(10, seed=seed) for seed in range(80)]
        try:
            with connected(service.address), Raw(service.address, "handles" * 4) as client:
                for number, scan in enumerate(scans):
                    answer = client.put(scan, number + 2)
                    assert answer.args.get("ready"), answer
                with connected(service.address) as other:  # there are handles left for others
                    assert len(other.status()["scenes"]) == 16
                    os.kill(other.status()["workers"][0]["process"], signal.SIGKILL)
                    answer = client.ask(predict(scans[-1]).message(100))
                    while answer.type == Reply.INFO:  # the next worker is there
                        answer = client.answer()
                    assert (read_mask(answer, 10)[0] == sphere(scans[-1], CLICKS)[0]).all()
        finally:
            stop(service.process)

    def test_a_scan_that_was_refused_is_taken_when_there_is_a_place(self):
        with server(scenes_per_client=2) as process, connected(process.address) as client:
            scenes = [client.put_scene(a_scan(seed=seed)) for seed in (0, 1, 2)]
            requests = [client.predict(scene, "a", CLICKS, **SIZE) for scene in scenes]
            assert client.wait(requests[0], 20).mask.any() and client.wait(requests[1], 20).mask.any()
            with pytest.raises(RequestError, match="close one that is done"):
                client.wait(requests[2], 20)
            client.drop_scene(scenes[0])
            assert client.wait(client.predict(scenes[2], "a", CLICKS, **SIZE), 20).mask.any()

    def test_too_many_points_are_refused_before_they_are_sent(self, limited):
        with Raw(limited.address) as client:
            code, sentence = client.refusal(PutScene("0" * 64, 200_001, False).message(2))
            assert code is ErrorCode.TOO_LARGE
            assert "200,001 points" in sentence and "200,000" in sentence and "--max-points" in sentence

    def test_more_than_the_memory_is_refused_before_it_is_sent(self):
        with server(memory=10_000 * 48) as small, Raw(small.address) as client:
            code, sentence = client.refusal(PutScene("0" * 64, 10_001, True).message(2))
            assert code is ErrorCode.TOO_LARGE and "--memory" in sentence and "thin or split" in sentence

    def test_the_least_recently_used_scene_makes_room_and_comes_back_by_itself(self, limited):
        scans = [a_scan(90_000, seed=seed) for seed in (30, 31, 32)]
        with connected(limited.address) as client:
            scenes = [client.put_scene(scan) for scan in scans]
            for turn in (0, 1, 0, 2, 1, 0):
                answer = client.wait(client.predict(scenes[turn], "a", CLICKS, **SIZE), 15)
                assert (answer.mask == sphere(scans[turn], CLICKS)[0]).all()
            state = client.status()
            assert state["memory"]["scenes"] <= LIMITS["memory"] and len(state["scenes"]) == 2

    def test_a_client_holds_only_so_many_scenes(self, limited):
        with Raw(limited.address, "holds" * 5) as client:
            for seed in range(3):
                client.put(a_scan(10, seed=seed))
            announce = PutScene(scene_hash(a_scan(10, seed=3)), 10, False)
            code, sentence = client.refusal(announce.message(2))
            assert code is ErrorCode.TOO_LARGE and "3 scans" in sentence
            client.say(Message(Request.DROP_SCENE, 3, {"scene": scene_hash(a_scan(10, seed=0))}))
            assert client.ask(announce.message(4)).type == Reply.SCENE

    def test_a_client_that_comes_back_holds_what_it_sends_again(self, limited):
        """What it dropped on a connection that broke never came."""
        with Raw(limited.address, "breaks" * 4) as client:
            for seed in range(3):
                assert client.put(a_scan(10, seed=seed)).args["ready"]
        with Raw(limited.address, "breaks" * 4) as client:
            assert client.put(a_scan(10, seed=3)).args["ready"]

    def test_a_server_with_very_many_scenes_tells_its_state(self):
        with server(scenes_per_client=200, requests_per_second=5000) as process, connected(process.address) as client:
            with Raw(process.address, "small scans" * 3) as other:
                for seed in range(150):
                    assert other.put(a_scan(10, seed=seed), 10 + seed).args["ready"]
            state = client.status()
            assert state["scenes_kept"] == 150 and len(state["scenes"]) == 100
            assert state["scenes"][0]["scene"] == scene_hash(a_scan(10, seed=149))[:8]
            assert samples(exposition(state))["scanpick_scenes"] == 150
            shown = Console(file=io.StringIO(), width=120)
            shown.print(tables(state))
            assert "Scans: 100 used last of 150" in shown.file.getvalue()

    def test_only_so_many_uploads_at_a_time(self, running):
        with Raw(running.address, "many" * 8) as client:
            for number in range(4):
                client.ask(PutScene(f"{number}" * 64, 10, False).message(number + 2))
            code, sentence = client.refusal(PutScene("5" * 64, 10, False).message(9))
            assert code is ErrorCode.BUSY and "waits" in sentence


class TestPredict:
    def test_a_fresh_servers_answer_is_a_warm_ones(self, running):
        scan = a_scan(seed=40)
        with connected(running.address) as client:
            scene = client.put_scene(scan)
            for count in (1, 2, 1, 2):
                warm = client.wait(client.predict(scene, "a", CLICKS[:count], probabilities=True, **SIZE), 15)
        with server() as fresh, connected(fresh.address) as client:
            scene = client.put_scene(scan)
            cold = client.wait(client.predict(scene, "a", CLICKS, probabilities=True, **SIZE), 15)
        assert (warm.mask == cold.mask).all() and (warm.probabilities == cold.probabilities).all()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"clicks": [Click((np.nan, 0, 0), True)]}, "not a finite number"),
            ({"clicks": []}, "no click"),
            ({"clicks": [Click((0, 0, 0), True, 5000)]}, "a vertex that the scan does not have"),
            ({"clicks": [Click((0, 0, 0), True, -2)]}, "an index, or -1"),
            ({"options": {"nonsense": 1}}, "The option 'nonsense' is unknown"),
            ({"options": {"delay": [1]}}, "'delay' has no plain value"),
            ({"options": {"delay": "x" * 101}}, "'delay' has no plain value"),
            ({"options": {"delay": "no"}}, "'delay' must be a number."),
            ({"options": {"delay": True}}, "'delay' must be a number."),
            ({"options": {"trouble": 1}}, "'trouble' must be text."),
        ],
    )
    def test_what_makes_no_sense_gets_a_sentence(self, running, change, words):
        scan = a_scan(seed=41)
        with Raw(running.address) as client:
            client.put(scan)
            code, sentence = client.refusal(predict(scan, **change).message(5))
            assert code is ErrorCode.BAD_REQUEST and words in sentence

    def test_an_unknown_scene_is_asked_for(self, running):
        with Raw(running.address) as client:
            assert client.refusal(predict(a_scan(seed=42)).message(5))[0] is ErrorCode.UNKNOWN_SCENE

    def test_too_many_clicks(self, limited):
        scan = a_scan(10, seed=43)
        with Raw(limited.address, "clicks" * 5) as client:
            client.put(scan)
            code, sentence = client.refusal(predict(scan, clicks=[Click((0, 0, 0), True)] * 6).message(5))
            assert code is ErrorCode.TOO_LARGE and "6 clicks" in sentence and "takes 5" in sentence

    def test_a_scan_that_the_predictor_refuses_gets_its_sentence(self, running):
        scan = a_scan(seed=44)
        scan[7, 1] = np.nan
        with connected(running.address) as client:
            with pytest.raises(RequestError, match="no finite position") as caught:
                client.wait(client.predict(client.put_scene(scan), "a", CLICKS, **SIZE), 15)
            assert caught.value.code is ErrorCode.BAD_REQUEST

    def test_out_of_memory_is_a_typed_error_and_the_next_click_works(self, running):
        with connected(running.address) as client:
            scene = client.put_scene(a_scan(seed=45))
            with pytest.raises(RequestError, match="larger voxel size") as caught:
                client.wait(client.predict(scene, "a", CLICKS, options={"trouble": "memory"}, **SIZE), 15)
            assert caught.value.code is ErrorCode.OUT_OF_MEMORY
            assert client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15).mask.any()

    def test_an_internal_error_is_one_sentence_with_a_log_id(self, tmp_path):
        log = tmp_path / "logs" / "server.log"
        with server(log_file=str(log)) as process, connected(process.address) as client:
            scene = client.put_scene(a_scan(seed=46))
            request = client.predict(scene, "a secret name", CLICKS, options={"trouble": "exception"}, **SIZE)
            with pytest.raises(RequestError) as caught:
                client.wait(request, 15)
            sentence = str(caught.value)
            assert caught.value.code is ErrorCode.INTERNAL and "Traceback" not in sentence and "Zero" not in sentence
            client.wait(client.predict(scene, "a secret name", CLICKS, **SIZE), 15)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        log_id = sentence.rpartition(" under ")[2].strip(".")
        traces = [line["trace"] for line in lines if line.get("trace")]
        assert len(traces) == 1 and log_id in traces[0] and "ZeroDivisionError" in traces[0]
        assert "light_server.py" in traces[0]
        text = log.read_text()
        assert "1.2345" not in text and "secret" not in text
        assert {line["event"] for line in lines} >= {"start", "worker ready", "scene", "answer", "stop"}

    def test_a_deadline_that_passes_in_the_queue_is_told_then(self, running):
        with connected(running.address) as client:
            scene = client.put_scene(a_scan(seed=48))
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15)
            slow = client.predict(scene, "a", CLICKS, options={"delay": 3.0}, **SIZE)
            late, clock = client.predict(scene, "b", CLICKS, deadline=0.1, **SIZE), time.monotonic()
            with pytest.raises(RequestError, match="deadline") as caught:
                client.wait(late, 15)
            assert caught.value.code is ErrorCode.BUSY and time.monotonic() - clock < 2.0
            client.wait(slow, 15)

    def test_what_became_of_every_request_is_counted_once(self):
        with server() as process, connected(process.address) as client:
            scene = client.put_scene(a_scan(seed=49))
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15)
            running = client.predict(scene, "a", CLICKS, options={"delay": 0.5}, **SIZE)
            client.poll(100)
            late = client.predict(scene, "b", CLICKS, deadline=0.1, **SIZE)
            with pytest.raises(RequestError, match="deadline"):
                client.wait(late, 15)
            client.cancel(running)
            with pytest.raises(RequestError, match="log"):
                client.wait(client.predict(scene, "c", CLICKS, options={"trouble": "exception"}, **SIZE), 15)
            assert client.status()["counts"] == {"masks": 1, "busy": 1, "cancelled": 1, "internal": 1}

    def test_an_option_is_unknown_before_the_model_is_loaded_as_well(self):
        scan = a_scan(seed=47)
        with server() as process, Raw(process.address) as client:
            assert client.put(scan).args["ready"]
            client.say(predict(scan, options={"nonsense": 1}).message(3))
            many = {f"{'e' * 90}{number}": 1 for number in range(300)}
            refusals = {}
            client.say(predict(scan, options=many).message(4))
            while len(refusals) < 2:
                answer = client.answer()
                if answer.type == Reply.ERROR:
                    refusals[answer.id] = read_error(answer)
            assert refusals[3] == (ErrorCode.BAD_REQUEST, "The option 'nonsense' is unknown to this server.")
            assert refusals[4][0] is ErrorCode.BAD_REQUEST and "at most 16 options" in refusals[4][1]
            with connected(process.address) as other:
                assert other.status()["workers_replaced"] == 0

    def test_artists_on_two_scans_share_two_workers(self):
        scans = [a_scan(seed=seed) for seed in (45, 46)]
        with server(workers=[{}, {}]) as process, connected(process.address) as client:
            while sum(worker["state"] == "idle" for worker in client.status()["workers"]) < 2:
                client.poll(20)
            scenes = [client.put_scene(scan) for scan in scans]
            prepared = []
            for _ in range(3):
                for scene in scenes:
                    answer = client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15)
                    prepared.append(answer.timing["prepare"])
            assert max(prepared[2:]) < min(prepared[:2]) / 2, "each worker keeps the scan that it has prepared"


class TestManyClients:
    def test_turns_are_fair(self, running):
        scan = a_scan(seed=50)
        with connected(running.address) as flood, connected(running.address) as single:
            scenes = flood.put_scene(scan), single.put_scene(scan)
            for client, scene in zip((flood, single), scenes, strict=True):
                client.wait(client.predict(scene, "warm", CLICKS, **SIZE), 15)
            for number in range(20):
                flood.predict(scenes[0], f"object {number}", CLICKS, options={"delay": 0.15}, **SIZE)
            flood.poll(100)
            single.wait(single.predict(scenes[1], "mine", CLICKS, **SIZE), 30)
            done = sum(isinstance(event, MaskReady) for event in flood.poll())
            assert done < 10, "the flood came first"

    def test_a_flood_is_told_to_wait(self, limited):
        scan = a_scan(10, seed=51)
        with Raw(limited.address, "flood" * 5) as client:
            client.put(scan)
            for number in range(8):
                client.say(predict(scan, f"object {number}", options={"delay": 0.6}).message(20 + number))
            codes = [read_error(answer)[0] for answer in (client.answer() for _ in range(4))
                     if answer.type == Reply.ERROR]  # fmt: skip
            assert ErrorCode.BUSY in codes

    def test_who_asks_too_often_is_told_and_others_are_not(self):
        with (
            server(requests_per_second=5) as process,
            connected(process.address) as other,
            Raw(process.address, "often" * 5) as client,
        ):
            for number in range(60):
                client.say(Message(Request.STATUS, 10 + number))
            answers = [client.answer() for _ in range(60)]
            kinds = [answer.type for answer in answers]
            assert kinds[:10] == [Reply.STATUS] * 10
            code, sentence = next(read_error(answer) for answer in answers if answer.type == Reply.ERROR)
            assert code is ErrorCode.BUSY and "more than 5 times a second" in sentence
            assert client.ask(Message(Request.PING, 5)).type == Reply.PONG
            assert other.status()["ready"]
            deadline = time.monotonic() + 20
            while client.ask(Message(Request.STATUS, 6)).type != Reply.STATUS:
                assert time.monotonic() < deadline, "it is forgiven with time"
                time.sleep(0.05)

    def test_cancelling_touches_only_ones_own(self, running):
        scan = a_scan(seed=52)
        with Raw(running.address, "mine" * 8) as mine, Raw(running.address, "yours" * 7) as yours:
            for client in (mine, yours):
                client.put(scan)
                client.say(predict(scan, "a", options={"delay": 0.3}).message(77))
            mine.say(Message(Request.CANCEL, 77))
            assert read_error(mine.answer())[0] is ErrorCode.CANCELLED
            answer = yours.answer()
            while answer.type == Reply.QUEUED:
                answer = yours.answer()
            assert answer.type == Reply.MASK

    def test_cancelling_what_waits_and_what_runs(self, running):
        scan = a_scan(seed=53)
        with Raw(running.address, "cancels" * 4) as client:
            client.put(scan)
            client.say(predict(scan, "runs", options={"delay": 0.4}).message(30))
            client.say(predict(scan, "waits").message(31))
            for number in (31, 30):
                client.say(Message(Request.CANCEL, number))
            answers = [client.answer() for _ in range(2)]
            assert [(answer.id, read_error(answer)[0]) for answer in answers] == [
                (31, ErrorCode.CANCELLED),
                (30, ErrorCode.CANCELLED),
            ]
            assert client.ask(predict(scan, "next").message(32)).type == Reply.MASK

    def test_a_client_that_comes_back_gets_its_running_answer_once(self, running):
        scan = a_scan(seed=54)
        with Raw(running.address, "returns" * 4) as client:
            client.put(scan)
            client.say(predict(scan, options={"delay": 0.6}).message(40))
            time.sleep(0.2)
        with Raw(running.address, "returns" * 4) as client:
            client.say(predict(scan, options={"delay": 0.6}).message(40))
            assert client.answer().type == Reply.MASK
            assert client.ask(Message(Request.PING, 41)).type == Reply.PONG

    def test_too_many_clients(self):
        with server(**{**LIMITS, "clients": 3}) as alone:
            clients = [Raw(alone.address, f"{number:032d}") for number in range(3)]
            try:
                for client in clients:  # one that has been silent for long would make room
                    assert client.ask(Message(Request.PING, 2)).type == Reply.PONG
                with Raw(alone.address, hello=False) as late:
                    code, sentence = late.refusal(Message(Request.HELLO, 1, {"client": "late" * 8}))
                    assert code is ErrorCode.BUSY and "3 clients" in sentence
            finally:
                for client in clients:
                    client.close()


class TestRefusals:
    def test_a_request_without_hello_is_asked_who_it_is(self, running):
        with Raw(running.address, hello=False) as client:
            assert client.ask(Message(Request.STATUS, 5)).type == Reply.WHO

    def test_an_unknown_request(self, running):
        with Raw(running.address) as client:
            code, sentence = client.refusal(Message("dance", 5))
            assert code is ErrorCode.BAD_REQUEST and "'dance' is unknown" in sentence

    def test_a_name_that_is_easily_guessed(self, running):
        with Raw(running.address, hello=False) as client:
            assert client.refusal(Message(Request.HELLO, 5, {"client": "me"}))[0] is ErrorCode.BAD_REQUEST

    def test_another_version_is_named(self, running):
        with Raw(running.address) as client:
            header = {"version": 99, "id": 5, "type": "ping", "args": {}, "arrays": []}
            client.socket.send(json.dumps(header).encode())
            code, sentence = read_error(client.answer())
            assert code is ErrorCode.UNSUPPORTED_VERSION and "version 3" in sentence and "version 99" in sentence

    def test_a_frame_that_is_too_large_never_arrives(self, running):
        with Raw(running.address) as client:
            client.socket.send(b"x" * (MAX_FRAME_BYTES + 1))
            assert not client.socket.poll(300)
        with connected(running.address) as client:
            assert client.status()["ready"]

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
    def test_a_number_beyond_all_measure_is_no_json(self, running, number):
        scan = a_scan(seed=50)
        with Raw(running.address, "beyond" * 4) as client:
            client.put(scan)
            header, *arrays = encode(predict(scan, options={"delay": 0.125}).message(5))
            client.socket.send_multipart([header.replace(b"0.125", number.encode()), *arrays])
            code, sentence = read_error(client.answer())
            assert code is ErrorCode.BAD_REQUEST and "not JSON" in sentence
            assert client.ask(predict(scan).message(6)).type == Reply.MASK

    def test_many_frames_are_refused_without_being_kept(self, running):
        with Raw(running.address) as client:
            client.socket.send_multipart([b"{}"] * 20_000)
            code, sentence = read_error(client.answer())
            assert code is ErrorCode.TOO_LARGE and "at most 8 frames" in sentence

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(frames=mutations())
    def test_mutated_messages_never_hurt(self, running, frames):
        if not hasattr(TestRefusals, "raw"):
            TestRefusals.raw = Raw(running.address, "fuzz" * 8)
        client = TestRefusals.raw
        client.socket.send_multipart(frames or [b""])
        client.say(Message(Request.PING, 4711))
        while True:
            try:
                answer = client.answer()
            except ProtocolError as error:
                raise AssertionError("the server said something malformed") from error
            assert answer.type in set(Reply)
            if answer.type == Reply.WHO:
                client.ask(Message(Request.HELLO, 1, {"client": "fuzz" * 8}))
                return
            if answer.type == Reply.PONG and answer.id == 4711:
                return

    def test_the_valid_ones_are_all_answered(self, running):
        with Raw(running.address, "valid" * 6) as client:
            asked = recorded()
            for message in asked:
                client.say(message)
            client.say(Message(Request.PING, 4711))
            answered = set()
            while (answer := client.answer()).id != 4711:
                answered.add(answer.id)
            silent = (Request.CANCEL, Request.DROP_SCENE)
            assert {message.id for message in asked if message.type not in silent} <= answered


def samples(text: str) -> dict[str, float]:
    """What a scraper reads out of Prometheus' text format; every line must be one of it."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP [a-z_]+ \S.*|TYPE [a-z_]+ (gauge|counter|summary))", line), line
            continue
        match = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)+\})?) (\S+)', line)
        assert match and match[1] not in found, line
        found[match[1]] = float(match[2])
    return found


class TestFigures:
    def test_a_file_for_monitoring_is_kept_up_to_date(self, tmp_path):
        file = tmp_path / "new folder" / "scanpick.prom"
        with server(figures_file=str(file), figures_every=0.1) as process, connected(process.address) as client:
            scene = client.put_scene(a_scan())
            for _ in range(3):
                client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15)
            with pytest.raises(RequestError):
                client.wait(client.predict(scene, "a", CLICKS, options={"trouble": "memory"}, **SIZE), 15)
            deadline = time.monotonic() + 20
            while True:
                found = samples(file.read_text()) if file.exists() else {}
                if found.get('scanpick_outcomes_total{outcome="out_of_memory"}') == 1:
                    break
                assert time.monotonic() < deadline, found
                client.poll(50)
            assert found['scanpick_outcomes_total{outcome="masks"}'] == 3
            assert found["scanpick_clients"] == 1 and found["scanpick_scenes"] == 1
            assert found["scanpick_scene_bytes"] == 48 * 5000 <= found["scanpick_scene_bytes_limit"]
            median, most = (found[f'scanpick_stage_seconds{{stage="server",quantile="{q}"}}'] for q in ("0.5", "0.95"))
            assert 0 < median <= most and found['scanpick_stage_seconds_count{stage="server"}'] == 3
            spent, queued = (found[f'scanpick_stage_seconds_sum{{stage="{stage}"}}'] for stage in ("server", "queue"))
            assert spent > queued > 0
            assert client.status()["seconds"]["server"]["count"] == 3

    def test_a_file_that_can_not_be_written_is_logged_and_hurts_nobody(self, tmp_path):
        (tmp_path / "file").write_text("")
        log = tmp_path / "server.log"
        settings = {"figures_file": str(tmp_path / "file" / "scanpick.prom"), "figures_every": 0.1}
        with server(log_file=str(log), **settings) as process, connected(process.address) as client:
            assert client.wait(client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE), 15).mask.any()
        assert "figures not written" in log.read_text()

    def test_labels_may_hold_anything(self):
        state = {"version": "1", "model": 'a "b" \\ c\nd', "device": "", "engine": "e", "uptime": 1, "ready": True}
        state |= {
            "clients": [],
            "waiting": 0,
            "uploads": 0,
            "scenes": [],
            "scenes_kept": 0,
            "memory": {"scenes": 0, "service": 1},
        }
        state |= {"limits": {"memory_bytes": 1}, "workers": [], "workers_replaced": 0, "counts": {}, "seconds": {}}
        info = next(name for name in samples(exposition(state)) if name.startswith("scanpick_info"))
        assert r'model="a \"b\" \\ c\nd"' in info


class TestMemory:
    def test_windows_is_asked_its_own_way(self, monkeypatch):
        def tell(pointer) -> int:
            status = pointer._obj
            assert status.length == ctypes.sizeof(status) == 64
            status.total = 24 * 2**30
            return told[0]

        told = [1]
        kernel = SimpleNamespace(GlobalMemoryStatusEx=tell)
        monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
        monkeypatch.setattr("inference_server.service.machine.sys", SimpleNamespace(platform="win32"))
        monkeypatch.setattr("inference_server.service.settings.CONTAINER_LIMITS", ())
        assert default_memory() == 8 * 2**30
        told[0] = 0
        assert machine_memory() is None and default_memory() == 4 * 2**30

    def test_a_container_has_less_than_its_machine(self, tmp_path, monkeypatch):
        (tmp_path / "memory.max").write_text(f"{6 * 2**30}\n")
        monkeypatch.setattr("inference_server.service.settings.machine_memory", lambda: 24 * 2**30)
        monkeypatch.setattr("inference_server.service.settings.CONTAINER_LIMITS", (tmp_path / "memory.max",))
        assert default_memory() == 2 * 2**30


class TestLog:
    def test_rotates_and_keeps_to_its_size(self, tmp_path, monkeypatch):
        monkeypatch.setattr("inference_server.service.log.FILE_BYTES", 2000)
        log = ServiceLog(tmp_path / "server.log")
        for number in range(300):
            log.write("answer", number=number)
        log.close()
        files = sorted(tmp_path.iterdir())
        assert len(files) == 5 and all(file.stat().st_size <= 2000 for file in files)
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert max(line["number"] for line in lines) == 299 and {line["event"] for line in lines} == {"answer"}

    @pytest.mark.parametrize("held", ["server.log", "server.log.0", "server.log.1", "server.log.3"])
    def test_a_file_that_another_process_holds_keeps_the_others_in_place_for_a_while(self, tmp_path, monkeypatch, held):
        """As on Windows, where a file that is open can't be renamed."""
        now = [0.0]
        clock = SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime)
        monkeypatch.setattr("inference_server.service.log.time", clock)
        monkeypatch.setattr("inference_server.service.log.FILE_BYTES", 2000)
        log, refused = ServiceLog(tmp_path / "server.log"), []

        def write(first: int, seconds: float) -> list[int]:
            """A hundred lines with a pause after each; the numbers of all that are kept, oldest first."""
            for number in range(first, first + 100):
                log.write("answer", number=number)
                now[0] += seconds
            names = [f"server.log.{n}" for n in (4, 3, 2, 1, 0)]
            files = [tmp_path / name for name in (*names, "server.log") if (tmp_path / name).exists()]
            return [json.loads(line)["number"] for file in files for line in file.read_text().splitlines()]

        def refuse(file: Path, target: Path, replace=Path.replace) -> None:
            if file.name == held:
                refused.append(file)
                raise PermissionError(13, "The process cannot access the file", str(file))
            replace(file, target)

        before = [write(first, 0.0) for first in (0, 100, 200)][-1]
        with monkeypatch.context() as holding:
            holding.setattr(Path, "replace", refuse)
            at_first = write(300, 0.1)
            assert len(refused) == 1 + (held == "server.log.0") and at_first[-100:] == list(range(300, 400))
            if held == "server.log":
                assert at_first == [*before, *range(300, 400)], "nothing older is touched"
            assert write(400, 60.0) == [*at_first, *range(400, 500)] and len(refused) > 50
        write(500, 60.0)
        log.close()
        assert (tmp_path / "server.log").stat().st_size <= 2000, "and it rotates again when it is let go"
        assert not (tmp_path / "server.log.0").exists()

    def test_a_place_that_can_not_be_written_stops_nothing(self, tmp_path):
        (tmp_path / "file").write_text("")
        log = ServiceLog(tmp_path / "file" / "server.log")
        log.write("start")
        log.close()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    def test_a_full_disk_stops_nothing_and_prints_nothing(self):
        with server(log_file="/dev/full") as process, connected(process.address) as client:
            scene = client.put_scene(a_scan())
            for _ in range(3):
                assert client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15).mask.any()
        assert process.process.returncode == 0


def shared_memory_of(process: int) -> list[Path]:
    """Shared memory that a process has open; nothing where the system doesn't show it."""
    try:
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    except OSError:
        return []
    return [Path(line.split()[-1]) for line in lines if "/dev/shm/" in line]


class TestStartAndStop:
    def test_a_second_server_on_the_port_is_refused_with_a_sentence(self, running):
        second = start_server(running.address)
        assert second.process.wait(30) == 2

    def test_stopping_finishes_what_runs_and_leaves_what_is_new_for_the_next_server(self):
        with server() as process, connected(process.address) as client:
            scene = client.put_scene(a_scan())
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), 15)
            request = client.predict(scene, "a", CLICKS, options={"delay": 3.0}, **SIZE)
            while client.status()["workers"][0]["state"] != "busy":
                client.poll(10)
            process.process.terminate()
            while not client.status()["stopping"]:
                client.poll(10)
            late = client.predict(scene, "b", CLICKS, **SIZE)
            assert client.wait(request, 15).mask.any()
            while client.state is ConnectionState.CONNECTED:
                assert not [event for event in client.poll(20) if hasattr(event, "request")]
            assert "was stopped" in client.state_text
            assert process.process.wait(15) == 0
            with server(process.address):
                assert client.wait(late, 60).mask.any()

    def test_nothing_is_left_behind(self):
        with server() as process, connected(process.address) as client:
            client.wait(client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE), 15)
            worker, used = process.worker_pid(), shared_memory_of(process.process.pid)
            assert used or sys.platform != "linux"
            process.process.terminate()
            assert process.process.wait(15) == 0
        assert not [path for path in used if path.exists()]
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)

    def test_a_predictor_that_can_not_be_made_ends_the_start_with_its_sentence(self):
        done = refused_start({"workers": [{"broken": "sentence"}]})
        assert done.returncode == 2 and done.stderr.strip() == "There are no weights 'nonsense': give a file."

    def test_a_worker_that_dies_each_time_it_starts_ends_the_start_with_a_sentence(self):
        done = refused_start({"workers": [{"broken": "exit"}]})
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "died with exit code 9 before it was ready, 3 times" in done.stderr

    @pytest.mark.skipif(not shutil.which("nohup"), reason="there is no nohup here")
    def test_under_nohup_the_end_of_the_terminal_is_not_the_servers(self):
        running = start_server(inside=("nohup",))
        try:
            with connected(running.address) as client:
                running.process.send_signal(signal.SIGHUP)
                time.sleep(0.5)
                assert client.status()["ready"]
        finally:
            stop(running.process)

    def test_a_server_that_nobody_uses_ends_by_itself(self):
        process = start_server(idle_exit=0.5)
        assert process.process.wait(30) == 0

    def test_requests_before_the_model_is_loaded_wait_for_it(self):
        with server() as process:
            client = Client(process.address)
            request = client.predict(client.put_scene(a_scan()), "a", CLICKS, **SIZE)
            assert client.wait(request, 60).mask.any()
            client.close()
