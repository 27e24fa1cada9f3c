"""Servers and workers that die, hang or are swapped: no click is lost, and nobody has to do anything."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from light_server import a_scan, connected, free_port, server, sphere, start_server

from inference_server.wire.client import Client, ConnectionState, StateChanged
from inference_server.wire.protocol import Click

if sys.platform == "win32":  # which lacks the names of the signals too
    pytest.skip("needs POSIX signals", allow_module_level=True)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills stopped children too")

CLICKS = [Click((1.0, 1.0, 1.0), True), Click((1.4, 1.0, 1.0), False)]
SIZE = {"voxel_size": 0.05}
PATIENCE = 60


def answered_rightly(client: Client, request: int, scan: np.ndarray, timeout: float = PATIENCE) -> None:
    assert (client.wait(request, timeout).mask == sphere(scan, CLICKS)[0]).all()


def poll_until(client: Client, done, timeout: float = PATIENCE) -> float:
    """Poll until done() holds; the seconds that took."""
    clock = time.monotonic()
    while not done():
        assert time.monotonic() - clock < timeout, client.state_text
        client.poll(10)
    return time.monotonic() - clock


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"


class TestServerDies:
    def test_in_the_middle_of_an_upload(self):
        scan = a_scan(4_000_000, seed=1)
        with server() as first, connected(first.address) as client:
            scene = client.put_scene(scan)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            poll_until(client, lambda: 0.2 < client.upload_progress(scene) < 1)
            first.process.kill()
            first.process.wait()
            poll_until(client, lambda: client.state is ConnectionState.LOST, 3)
            with server(first.address):
                answered_rightly(client, request, scan)

    def test_in_the_middle_of_a_click_on_a_large_scan(self):
        scan = a_scan(1_000_000, seed=2)
        with server() as first, connected(first.address) as client:
            scene = client.put_scene(scan)
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), PATIENCE)
            request = client.predict(scene, "a", CLICKS, options={"delay": 3.0}, **SIZE)
            poll_until(client, lambda: client.status()["workers"][0]["state"] == "busy")
            first.process.kill()
            first.process.wait()
            clock = time.monotonic()
            poll_until(client, lambda: client.state is ConnectionState.LOST, 3)
            with server(first.address):
                answered_rightly(client, request, scan)
                seconds = time.monotonic() - clock
                print(f"\nmask {seconds:.1f} s after the server's death, 3 s of them the click's own")

    def test_hanging_is_noticed_within_three_seconds_and_forgiven(self):
        scan = a_scan(seed=3)
        with server() as process, connected(process.address) as client:
            scene = client.put_scene(scan)
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), PATIENCE)
            process.process.send_signal(signal.SIGSTOP)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            assert poll_until(client, lambda: client.state is ConnectionState.LOST) < 3.0
            assert "stopped answering" in client.state_text
            process.process.send_signal(signal.SIGCONT)
            answered_rightly(client, request, scan)

    def test_a_pause_during_an_upload(self):
        scan = a_scan(4_000_000, seed=4)
        with server() as process, connected(process.address) as client:
            scene = client.put_scene(scan)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            poll_until(client, lambda: 0.2 < client.upload_progress(scene) < 1)
            process.process.send_signal(signal.SIGSTOP)
            poll_until(client, lambda: client.state is ConnectionState.LOST)
            process.process.send_signal(signal.SIGCONT)
            answered_rightly(client, request, scan)

    def test_many_requests_wait_for_the_next_server(self):
        scan = a_scan(seed=5)
        with server() as first, connected(first.address) as client:
            scene = client.put_scene(scan)
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), PATIENCE)
            first.process.kill()
            first.process.wait()
            requests = [client.predict(scene, name, CLICKS, **SIZE) for name in "abcd"]
            poll_until(client, lambda: client.state is ConnectionState.LOST)
            time.sleep(1.5)
            requests.append(client.predict(scene, "e", CLICKS, **SIZE))
            with server(first.address):
                for request in requests:
                    answered_rightly(client, request, scan)

    def test_another_server_takes_its_place_unnoticed(self):
        scan = a_scan(seed=6)
        with server() as first, connected(first.address) as client:
            scene = client.put_scene(scan)
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), PATIENCE)
            former = client.server.instance
            first.process.kill()
            first.process.wait()
            with server(first.address), connected(first.address):
                # Nobody polled in between: the new server answers on the old connection's address.
                request = client.predict(scene, "a", CLICKS, **SIZE)
                answered_rightly(client, request, scan)
                assert client.server.instance != former

    @pytest.mark.parametrize("how", [None, pytest.param(signal.SIGSTOP, marks=linux_only)])
    def test_its_workers_end_with_it_even_stopped_ones(self, how):
        with server() as process:
            worker = process.worker_pid()
            assert is_alive(worker)
            if how:
                os.kill(worker, how)
            process.process.kill()
            process.process.wait()
            deadline = time.monotonic() + 20
            while is_alive(worker):
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_servers_of_a_test_run_that_was_killed_end_by_themselves():
    code = """
import time
from light_server import connected, start_server
running = start_server()
with connected(running.address):
    print(running.process.pid, running.worker_pid(), flush=True)
time.sleep(600)
"""
    here = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, here.parent)))}
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    processes = list(map(int, run.stdout.readline().split()))
    assert len(processes) == 2 and all(map(is_alive, processes))
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 30
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline, "stray servers"
        time.sleep(0.1)


class TestWorkerDies:
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_in_the_middle_of_a_click(self, how):
        scan = a_scan(seed=10)
        with server(worker_silence=1.5) as process, connected(process.address) as client:
            scene = client.put_scene(scan)
            client.wait(client.predict(scene, "a", CLICKS, **SIZE), PATIENCE)
            worker = process.worker_pid()
            request = client.predict(scene, "a", CLICKS, options={"delay": 0.5}, **SIZE)
            poll_until(client, lambda: client.status()["workers"][0]["state"] == "busy")
            os.kill(worker, how)
            answered_rightly(client, request, scan)
            assert process.worker_pid() != worker and not is_alive(worker)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_while_nobody_clicks(self, how):
        scan = a_scan(seed=11)
        with server(worker_silence=1.5) as process, connected(process.address) as client:
            worker = process.worker_pid()
            os.kill(worker, how)
            poll_until(client, lambda: client.status()["workers_replaced"] == 1)
            answered_rightly(client, client.predict(client.put_scene(scan), "a", CLICKS, **SIZE), scan)

    @pytest.fixture
    def heard(self):
        """A server started here hears SIGHUP, even where these tests run under nohup."""
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGHUP, before)

    @pytest.mark.usefixtures("heard")
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
    def test_signals_to_the_whole_group_of_processes_let_it_finish_what_runs(self, name):
        scan = a_scan(seed=15)
        with server() as process, connected(process.address) as client:
            request = client.predict(client.put_scene(scan), "a", CLICKS, options={"delay": 1.0}, **SIZE)
            poll_until(client, lambda: client.status()["workers"][0]["state"] == "busy")
            for pid in (process.worker_pid(), process.process.pid):
                os.kill(pid, getattr(signal, name))
            answered_rightly(client, request, scan)
            process.process.wait(5)

    def test_during_an_upload(self):
        scan = a_scan(4_000_000, seed=12)
        with server() as process, connected(process.address) as client:
            worker = process.worker_pid()
            scene = client.put_scene(scan)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            poll_until(client, lambda: 0.2 < client.upload_progress(scene) < 1)
            os.kill(worker, signal.SIGKILL)
            answered_rightly(client, request, scan)

    def test_the_socket_loop_answers_others_meanwhile(self):
        with server(worker_silence=30) as process, connected(process.address) as client:
            os.kill(process.worker_pid(), signal.SIGSTOP)
            scene = client.put_scene(a_scan(seed=13))
            client.predict(scene, "a", CLICKS, **SIZE)
            for _ in range(5):
                assert client.status(timeout=2.0)["workers"]
                client.poll(700)
            assert client.state is ConnectionState.CONNECTED

    def test_while_it_starts(self):
        process = start_server()
        try:
            client = Client(process.address)
            scan = a_scan(seed=14)
            request = client.predict(client.put_scene(scan), "a", CLICKS, **SIZE)
            poll_until(client, lambda: client.state is ConnectionState.CONNECTED)
            poll_until(client, lambda: client.status()["workers"])
            os.kill(client.status()["workers"][0]["process"], signal.SIGKILL)
            answered_rightly(client, request, scan)
            client.close()
        finally:
            process.process.kill()
            process.process.wait()


class TestHalfSent:
    def test_uploads_of_clients_that_died_are_forgotten(self):
        scan = a_scan(4_000_000, seed=20)
        with server(upload_silence=1.0) as process, connected(process.address) as watcher:
            with connected(process.address) as client:
                scene = client.put_scene(scan)
                poll_until(client, lambda: 0.2 < client.upload_progress(scene) < 1)
            assert watcher.status()["uploads"] == 1
            poll_until(watcher, lambda: watcher.status()["uploads"] == 0)
            assert watcher.status()["memory"]["scenes"] == 0

    def test_a_scan_changed_while_it_was_sent_is_refused(self):
        scan = a_scan(4_000_000, seed=21)
        with server() as process, connected(process.address) as client:
            scene = client.put_scene(scan)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            poll_until(client, lambda: 0 < client.upload_progress(scene) < 1)
            scan[-1] += 1
            events = []
            while not any(getattr(event, "request", None) == request for event in events):
                events += client.poll(20)
            failure = next(event for event in events if getattr(event, "request", None) == request)
            assert "not the one announced" in failure.message


def test_the_state_is_told_along_the_way():
    address = f"tcp://127.0.0.1:{free_port()}"
    client, states = Client(address), []

    def poll() -> ConnectionState:
        states.extend(event.state for event in client.poll(10) if isinstance(event, StateChanged))
        return client.state

    for _ in range(2):
        with server(address) as process:
            while poll() is not ConnectionState.CONNECTED:
                continue
            process.process.kill()
            process.process.wait()
            while poll() is not ConnectionState.LOST:
                continue
    client.close()
    order = [state for index, state in enumerate(states) if not index or states[index - 1] is not state]
    both = [ConnectionState.CONNECTED, ConnectionState.LOST]
    assert order == [ConnectionState.CONNECTING, *both, *both]


def test_the_recovery_benchmark_kills_a_server_with_the_real_network_and_gets_its_mask(tmp_path):
    file = tmp_path / "recovery.json"
    command = [sys.executable, "-m", "inference_server", "benchmark", "recovery", "--points", "50000", "--repeats", "1"]
    done = subprocess.run([*command, "--json", str(file)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "after the server's death" in done.stdout
    assert 0 < json.loads(file.read_text())["median"] < 120
