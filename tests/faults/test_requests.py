"""Requests that hurt their worker, clients that fall silent, and work shared by several workers."""

import time

import pytest
from light_server import a_scan, connected, server, sphere

from inference_server.wire.client import Client, ConnectionState, RequestError
from inference_server.wire.protocol import Click, ErrorCode

CLICKS = [Click((1.0, 1.0, 1.0), True), Click((1.4, 1.0, 1.0), False)]
SIZE = {"voxel_size": 0.05}


@pytest.mark.parametrize("trouble", ["exit", "device"])
def test_a_request_that_kills_its_worker_is_given_up_and_others_go_on(trouble):
    """A crash, or a device that answers nothing but errors any more."""
    with server() as process, connected(process.address) as bad, connected(process.address) as good:
        scan = a_scan(seed=47)
        request = bad.predict(bad.put_scene(scan), "a", CLICKS, options={"trouble": trouble}, **SIZE)
        bad.poll(100)
        answer = good.wait(good.predict(good.put_scene(scan), "b", CLICKS, **SIZE), 60)
        assert (answer.mask == sphere(scan, CLICKS)[0]).all()
        with pytest.raises(RequestError, match="again and again") as caught:
            bad.wait(request, 60)
        assert caught.value.code is ErrorCode.INTERNAL
        assert good.status()["workers_replaced"] >= 3


def test_a_request_that_takes_too_long_is_given_up():
    with server(job_seconds=0.3, job_tries=1) as process, connected(process.address) as client:
        request = client.predict(client.put_scene(a_scan()), "a", CLICKS, options={"delay": 60.0}, **SIZE)
        with pytest.raises(RequestError, match="again and again"):
            client.wait(request, 30)


def test_silent_clients_make_room():
    with server(clients=2, client_silence=2.0) as process:
        first = [Client(process.address) for _ in range(2)]
        deadline = time.monotonic() + 30
        while any(client.state is not ConnectionState.CONNECTED for client in first):
            assert time.monotonic() < deadline
            for client in first:
                client.poll(10)
        third = Client(process.address)
        while "2 clients, as many as it takes" not in third.state_text:
            assert time.monotonic() < deadline
            third.poll(10)
        while third.state is not ConnectionState.CONNECTED:
            assert time.monotonic() < deadline
            third.poll(10)
        for client in [*first, third]:
            client.close()


def test_two_workers_share_the_work():
    with server(workers=[{}, {}]) as process, connected(process.address) as client:
        while sum(worker["state"] != "starting" for worker in client.status()["workers"]) < 2:
            client.poll(50)
        scene = client.put_scene(a_scan())
        client.wait(client.predict(scene, "warm", CLICKS, **SIZE), 60)
        requests = [client.predict(scene, name, CLICKS, options={"delay": 3.0}, **SIZE) for name in "ab"]
        while any(worker["state"] != "busy" for worker in client.status()["workers"]):
            assert not [event for event in client.poll(20) if hasattr(event, "mask")], "one waited for the other"
        for request in requests:
            client.wait(request, 60)


def test_a_worker_that_dies_takes_only_its_own_request_along():
    with server(workers=[{}, {}]) as process, connected(process.address) as client:
        while sum(worker["state"] != "starting" for worker in client.status()["workers"]) < 2:
            client.poll(50)
        scan = a_scan()
        scene = client.put_scene(scan)
        bad = client.predict(scene, "bad", CLICKS, options={"trouble": "exit", "delay": 0.5}, **SIZE)
        for name in "abcdef":
            answer = client.wait(client.predict(scene, name, CLICKS, options={"delay": 0.2}, **SIZE), 60)
            assert (answer.mask == sphere(scan, CLICKS)[0]).all()
        with pytest.raises(RequestError, match="again and again"):
            client.wait(bad, 60)
