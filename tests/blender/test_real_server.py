"""The whole way with the real server, started by the add-on itself: click, network, vertex group."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    REPOSITORY,
    add_mesh,
    edit_mode,
    free_address,
    group,
    instance,
    object_mode,
    preferences,
    pump,
    select,
    server_python,
    wait_for_state,
)

SERVER_START = 90.0


@pytest.fixture
def real_server(blender, session, module):
    """The installation record of this checkout, and the add-on's own server process."""
    location = module("wire.location")
    location.write(location.Installation(server_python(), str(REPOSITORY)))
    settings = preferences()
    settings.address, settings.start_server = free_address(), True
    session.connection.process = module("server.process").ServerProcess()  # the starts of other tests don't count
    yield session.connection
    session.connection.shut_down()
    Path(location.record_file()).unlink()


def room() -> tuple[np.ndarray, np.ndarray, slice]:
    """Points and colours of a floor, two walls and a box of another colour, 2.5 cm apart; where the box is."""
    rng = np.random.default_rng(0)

    def plane(n, u, v, origin):
        return np.array(origin) + rng.random((n, 1)) * np.array(u) + rng.random((n, 1)) * np.array(v)

    floor = plane(16000, (4, 0, 0), (0, 4, 0), (-2, -2, 0))
    walls = [plane(8000, (4, 0, 0), (0, 0, 2.5), (-2, 2, 0)), plane(8000, (0, 4, 0), (0, 0, 2.5), (-2, -2, 0))]
    sides = [plane(1200, (0.8, 0, 0), (0, 0, 0.8), (0.2, y, 0)) for y in (0.2, 1.0)] + [
        plane(1200, (0, 0.8, 0), (0, 0, 0.8), (x, 0.2, 0)) for x in (0.2, 1.0)
    ]
    box = np.concatenate([plane(1200, (0.8, 0, 0), (0, 0.8, 0), (0.2, 0.2, 0.8)), *sides])
    points = np.concatenate([floor, *walls, box]).astype(np.float32)
    colors = np.full((len(points), 4), (0.6, 0.58, 0.5, 1.0), dtype=np.float32)
    colors[-len(box) :, :3] = (0.5, 0.05, 0.05)
    colors[:, :3] += rng.normal(0, 0.02, (len(points), 3))
    return points, colors.clip(0, 1), slice(len(points) - len(box), len(points))


def add_room(blender) -> tuple[np.ndarray, slice]:
    points, colors, box = room()
    obj = add_mesh(points)
    obj.data.color_attributes.new("Col", "FLOAT_COLOR", "POINT").data.foreach_set("color", colors.ravel())
    return points, box


def answer_of(blender, session, module):
    """The server's last answer for the first object."""
    data = blender.data.objects["scan"].data
    return session.answers.of(data.session_uid, module("session.object_list").shown_state(data.session_uid).get(1))


def test_a_port_that_another_program_uses_is_said_and_another_one_chosen(real_server, blender, session):
    add_mesh(room()[0])
    with socket.create_server(("127.0.0.1", 0)) as other:
        preferences().address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        assert blender.ops.scanpick.click(vertex=0) == {"FINISHED"}
        until = time.monotonic() + SERVER_START
        while not session.connection.port_taken:
            assert time.monotonic() < until, session.connection.text
            session.pump()
            time.sleep(0.05)
        assert "choose another port" in session.connection.text
        assert session.connection.remedy == "scanpick.another_port"
        assert blender.ops.scanpick.another_port() == {"FINISHED"}
        assert not session.pending.items, "the click is given up"
        assert blender.ops.scanpick.click(vertex=0) == {"FINISHED"}
        pump(session, SERVER_START)
    assert 0 in group("Object 1")


def test_click_through_the_server_that_the_addon_starts(real_server, blender, session, module):
    points, box = add_room(blender)
    top = box.start + 10
    edit_mode()
    select([top])
    assert blender.ops.scanpick.click_selection(positive=True) == {"FINISHED"}
    assert session.pending.items, "the click waits for the server to start"
    pump(session, SERVER_START)
    found = group("Object 1")
    assert top in found
    answer = answer_of(blender, session, module)
    assert answer.timing["network"] > 0 and answer.timing["server"] >= answer.timing["network"]
    wanted = set(range(box.start, box.stop))
    for _ in range(4):  # correct it as an artist would
        missing, wrong = sorted(wanted - group("Object 1")), sorted(group("Object 1") - wanted)
        if not missing and not wrong:
            break
        worst, positive = (missing, True) if len(missing) >= len(wrong) else (wrong, False)
        select([worst[len(worst) // 2]])
        blender.ops.scanpick.click_selection(positive=positive)
        pump(session, 30)
    found = group("Object 1")
    assert len(found & wanted) / len(found | wanted) > 0.5
    blender.data.objects["scan"].data.scanpick.adapt = True
    select([top])
    blender.ops.scanpick.click_selection(positive=True)
    pump(session, 60)
    assert answer_of(blender, session, module).timing["adaptation"] > 0
    found = group("Object 1")
    object_mode()
    assert set(np.flatnonzero(instance() == 1).tolist()) == found


def test_a_server_that_dies_is_started_again_and_the_click_arrives(real_server, blender, session):
    points, box = add_room(blender)
    edit_mode()
    select([box.start + 10])
    blender.ops.scanpick.click_selection(positive=True)
    pump(session, SERVER_START)
    before = group("Object 1")
    select([box.start + 500])
    blender.ops.scanpick.click_selection(positive=True)
    os.kill(real_server.process._process.pid, 9)
    pump(session, SERVER_START)
    assert box.start + 500 in group("Object 1")
    assert blender.data.objects["scan"].data.scanpick.objects[0].clicks == 2
    assert before


def use(session, other):
    """Connect to a server that is not this Blender's."""
    preferences().address = other.address
    session.connection.open()
    wait_for_state(session, "connected")


def test_a_server_of_another_blender_that_goes_is_replaced_and_the_click_arrives(
    real_server, blender, session, sphere_server
):
    points, box = add_room(blender)
    other = sphere_server()
    use(session, other)
    assert blender.ops.scanpick.click(vertex=box.start + 10) == {"FINISHED"}
    pump(session)
    other.kill()
    assert blender.ops.scanpick.click(vertex=box.start + 500) == {"FINISHED"}
    assert not real_server.process.running
    pump(session, SERVER_START)
    assert real_server.process.running
    assert box.start + 500 in group("Object 1")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows holds no process up")
def test_a_server_that_is_only_held_up_is_waited_for(real_server, blender, session, sphere_server):
    add_mesh(room()[0])
    other = sphere_server()
    use(session, other)
    os.kill(other.process.pid, signal.SIGSTOP)
    assert blender.ops.scanpick.click(vertex=0) == {"FINISHED"}
    until = time.monotonic() + 8
    while time.monotonic() < until:
        session.pump()
        assert not real_server.process.started_here and not session.connection.trouble
        time.sleep(0.02)
    assert session.connection.state.value == "lost"
    os.kill(other.process.pid, signal.SIGCONT)
    pump(session, 15)
    assert 0 in group("Object 1")


def test_leaving_blender_stops_the_server(real_server, blender, session):
    add_room(blender)
    edit_mode()
    select([0])
    blender.ops.scanpick.click_selection(positive=True)
    pump(session, SERVER_START)
    process = real_server.process._process
    started = time.monotonic()
    blender.ops.scanpick.server_stop()
    assert process.poll() is not None
    assert time.monotonic() - started < 5
    assert session.connection.text == "Not connected"
