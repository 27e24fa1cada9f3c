"""Networks that are slow, fall silent, break or lead to another server; clocks that jump."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from light_server import a_scan, connected, server, sphere, start_server, stop
from relay import Relay

from inference_server.service.security import make_keys, read_key_file
from inference_server.wire.client import Client, ConnectionState
from inference_server.wire.protocol import Click

CLICKS = [Click((1.0, 1.0, 1.0), True), Click((1.4, 1.0, 1.0), False)]
SIZE = {"voxel_size": 0.05}
PATIENCE = 60


def answered_rightly(client: Client, request: int, scan: np.ndarray) -> None:
    assert (client.wait(request, PATIENCE).mask == sphere(scan, CLICKS)[0]).all()


def poll_until(client: Client, done, timeout: float = PATIENCE) -> float:
    """Poll until done() holds; the seconds that took."""
    clock = time.monotonic()
    while not done():
        assert time.monotonic() - clock < timeout, client.state_text
        client.poll(10)
    return time.monotonic() - clock


class TestRelayed:
    def test_a_slow_network_makes_clicks_slow_and_nothing_else(self):
        scan = a_scan(300_000, seed=1)
        with server() as process, Relay(process.address, delay=0.2) as relay, connected(relay.address) as client:
            states = []
            request = client.predict(client.put_scene(scan), "a", CLICKS, **SIZE)
            clock = time.monotonic()
            answered_rightly(client, request, scan)
            assert time.monotonic() - clock > 0.8, "two ways there and back for the scan's hash and for the click"
            states += [event for event in client.poll() if hasattr(event, "state")]
            assert client.state is ConnectionState.CONNECTED and not states

    def test_a_network_on_which_one_message_takes_longer_than_a_silence_may_still_delivers(self, monkeypatch):
        monkeypatch.setattr("inference_server.wire.connection.SILENCE", 0.8)
        monkeypatch.setattr("inference_server.wire.connection.PING_EVERY", 0.2)
        scan = a_scan(150_000, seed=6)
        with server() as process, Relay(process.address, rate=600_000) as relay, connected(relay.address) as client:
            request = client.predict(client.put_scene(scan), "a", CLICKS, **SIZE)
            answered_rightly(client, request, scan)
            losses = [event for event in client.poll() if getattr(event, "state", None) is ConnectionState.LOST]
            assert 1 <= len(losses) <= 3, "it must be slow enough to be taken for a loss, and then be waited for"

    def test_silence_without_an_end_is_noticed_and_the_click_answered_after_it(self):
        scan = a_scan(seed=2)
        with server() as process, Relay(process.address) as relay, connected(relay.address) as client:
            scene = client.put_scene(scan)
            answered_rightly(client, client.predict(scene, "a", CLICKS, **SIZE), scan)
            relay.stalled = True
            request = client.predict(scene, "a", CLICKS, **SIZE)
            assert poll_until(client, lambda: client.state is ConnectionState.LOST) < 3.0
            relay.stalled = False
            answered_rightly(client, request, scan)

    @pytest.mark.parametrize("when", [0.1, 0.5, 0.9])
    def test_a_connection_that_breaks_during_an_upload_goes_on_where_it_was(self, when):
        scan = a_scan(2_000_000, seed=3)
        with server() as process, Relay(process.address) as relay, connected(relay.address) as client:
            scene = client.put_scene(scan)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            poll_until(client, lambda: when < client.upload_progress(scene))
            relay.cut()
            poll_until(client, lambda: client.state is not ConnectionState.CONNECTED)
            poll_until(client, lambda: client.upload_progress(scene) > 0)
            assert client.upload_progress(scene) > when / 2, "it began anew"
            answered_rightly(client, request, scan)

    def test_a_connection_that_breaks_again_and_again_loses_no_click_and_answers_none_twice(self):
        scan = a_scan(seed=4)
        with server() as process, Relay(process.address) as relay, connected(relay.address) as client:
            scene = client.put_scene(scan)
            for number in range(6):
                request = client.predict(scene, f"object {number}", CLICKS, options={"delay": 0.1}, **SIZE)
                client.poll(20)
                relay.cut()
                answered_rightly(client, request, scan)
                assert not [event for event in client.poll(50) if getattr(event, "request", None) == request]
            with connected(process.address) as watcher:
                assert watcher.status()["counts"]["masks"] <= 2 * 6, "what ran already was run once more at the most"

    def test_two_servers_swapped_under_a_client_and_back(self):
        scan = a_scan(seed=5)
        with (
            server() as first,
            server() as second,
            connected(second.address),
            Relay(first.address) as relay,
            connected(relay.address) as client,
        ):
            scene, instances = client.put_scene(scan), []
            for target in (first, second, first, second):
                relay.switch(target.address)
                request = client.predict(scene, "a", CLICKS, **SIZE)
                answered_rightly(client, request, scan)
                instances.append(client.server.instance)
            assert len(set(instances)) == 2 and instances[0] != instances[1] == instances[3]


class TestClocks:
    def test_no_clock_of_the_day_matters(self, monkeypatch, tmp_path):
        """Server, worker and client live in other years at every glance: only steady clocks are waited by."""
        rng, real = np.random.default_rng(0), time.time
        monkeypatch.setattr(time, "time", lambda: real() + rng.uniform(-1, 1) * 365 * 86400)
        scan = a_scan(seed=6)
        settings = {"client_silence": 5.0, "upload_silence": 5.0, "worker_silence": 5.0, "job_seconds": 5.0}
        workers = [{"wild_clock": True}]
        log = str(tmp_path / "server.log")
        with (
            server(wild_clock=True, workers=workers, log_file=log, **settings) as process,
            connected(process.address) as client,
        ):
            scene = client.put_scene(scan)
            for number in range(3):
                request = client.predict(scene, f"object {number}", CLICKS, deadline=5.0, **SIZE)
                answered_rightly(client, request, scan)
                client.poll(300)
            assert client.state is ConnectionState.CONNECTED
            state = client.status()
            assert state["workers_replaced"] == 0 and 0 < state["uptime"] < 60
            assert 0 < state["seconds"]["server"]["p95"] < 5


def may_make_networks() -> str:
    """Why no network can be made here, "" where one can."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        return "networks of their own need Linux, root and the ip command"
    made = subprocess.run(["ip", "netns", "add", "scanpick-probe"], capture_output=True)
    subprocess.run(["ip", "netns", "del", "scanpick-probe"], capture_output=True)
    return "" if made.returncode == 0 else "this system lets nobody make networks"


class Cable:
    """A network of its own for a server, with one cable to this one."""

    here, there = "10.213.77.1", "10.213.77.2"

    def __init__(self):
        self.name = f"scanpick-{os.getpid()}"
        self.near, self.far = f"sp{os.getpid() % 100000}a", f"sp{os.getpid() % 100000}b"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {self.near} type veth peer name {self.far}",
            f"ip link set {self.far} netns {self.name}",
            f"ip addr add {self.here}/30 dev {self.near}",
            f"ip link set {self.near} up",
            f"ip netns exec {self.name} ip addr add {self.there}/30 dev {self.far}",
            f"ip netns exec {self.name} ip link set {self.far} up",
            f"ip netns exec {self.name} ip link set lo up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)

    def pull(self) -> None:
        subprocess.run(["ip", "link", "set", self.near, "down"], check=True)

    def plug(self) -> None:
        subprocess.run(["ip", "link", "set", self.near, "up"], check=True)

    def remove(self) -> None:
        subprocess.run(["ip", "link", "del", self.near], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    reason = may_make_networks()
    if reason:
        pytest.skip(reason)
    made = Cable()
    yield made
    made.remove()


def test_a_pulled_cable_between_two_machines_costs_a_wait_and_no_click(cable, tmp_path):
    """A server in a network of its own, reached with keys as from another machine."""
    make_keys(tmp_path, "server")
    secret_file, _ = make_keys(tmp_path, "anna")
    public, secret = read_key_file(secret_file)
    keys = {"server_key": read_key_file(tmp_path / "server.key")[0], "public_key": public, "secret_key": secret}
    address = f"tcp://{cable.there}:47600"
    process = start_server(address, inside=("ip", "netns", "exec", cable.name), keys=str(tmp_path))
    try:
        scan = a_scan(1_000_000, seed=7)
        with connected(address, **keys) as client:
            scene = client.put_scene(scan)
            request = client.predict(scene, "a", CLICKS, **SIZE)
            poll_until(client, lambda: client.upload_progress(scene) > 0.2)
            cable.pull()
            assert poll_until(client, lambda: client.state is ConnectionState.LOST) < 3.0
            client.poll(1000)
            cable.plug()
            answered_rightly(client, request, scan)
            cable.pull()
            request = client.predict(scene, "b", CLICKS, **SIZE)
            poll_until(client, lambda: client.state is ConnectionState.LOST)
            cable.plug()
            answered_rightly(client, request, scan)
    finally:
        stop(process.process)
