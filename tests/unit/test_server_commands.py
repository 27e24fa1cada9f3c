"""The commands that run and use the server, with the shipped weights and the real network."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from light_server import connected, free_port, server, stop

from inference_server.data.scans import Scan, write_ply
from inference_server.predictor import Predictor
from inference_server.wire import location
from inference_server.wire.client import RequestError
from inference_server.wire.protocol import Click, ErrorCode

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = {"voxel_size": 0.05}


def a_room() -> Scan:
    """A floor of 3 m x 3 m with a red box on it."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(0, 3, (9000, 2)), rng.normal(0, 0.003, 9000)])
    box = rng.uniform(0, 0.5, (4000, 3))
    box[np.arange(4000), rng.integers(0, 3, 4000)] = 0.5
    positions = np.vstack([floor, box + [1.2, 1.2, 0]]).astype(np.float32)
    colors = np.full((13_000, 3), 150, np.uint8)
    colors[9000:] = [180, 40, 40]
    return Scan(positions, colors)


CLICKS = [Click((1.45, 1.45, 0.5), True, -1), Click((0.4, 0.4, 0.0), False, -1)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "SCANPICK_CONFIG": str(tmp_path_factory.mktemp("config")), "OMP_NUM_THREADS": "1"}


def run(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "inference_server", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, env=environment, check=False
    )


@pytest.fixture(scope="module")
def served(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `serve` with the shipped weights."""
    address, said = f"tcp://127.0.0.1:{free_port()}", tmp_path_factory.mktemp("serve") / "said.txt"
    command = [sys.executable, "-m", "inference_server", "serve", "--address", address, "--device", "cpu"]
    with said.open("w") as output:
        process = subprocess.Popen(
            [*command, "--threads", "1", "--idle-exit", "300"], cwd=REPOSITORY, env=environment, stdout=output
        )
        with connected(address):
            pass
        yield address
        stop(process)
    assert re.fullmatch(
        rf"Serving on {address}: cpu, rooms-lite-rgb, torch engine, scanpick [\d.]+\. Ctrl\+C stops it\.\n",
        said.read_text(),
    )
    assert process.returncode == 0


def test_the_servers_mask_is_the_predictors(served):
    room = a_room()
    predictor = Predictor(device="cpu")
    predictor.set_scene(room.positions, room.colors, 0.05)
    expected = predictor.predict(CLICKS)
    with connected(served) as client:
        scene = client.put_scene(room.positions, room.colors)
        first = client.wait(client.predict(scene, "box", CLICKS, probabilities=True, **SIZE), 60)
        again = client.wait(client.predict(scene, "box", CLICKS, probabilities=True, **SIZE), 60)
        assert client.server.limits["points"] == 50_000_000
    for answer in (first, again):
        assert (answer.mask == expected.mask).all()
        assert (answer.probabilities == expected.probabilities).all()
    assert {"network", "region", "server", "wire"} <= set(first.timing)


def test_a_client_can_ask_that_the_network_adapts_to_its_clicks(served):
    room, clicks = a_room(), [*CLICKS, Click((1.7, 1.7, 0.3), True, -1)]
    predictor = Predictor(device="cpu")
    predictor.set_scene(room.positions, room.colors, 0.1)
    expected = predictor.predict(clicks, adapt=True)
    with connected(served) as client:
        scene = client.put_scene(room.positions, room.colors)
        ask = {"voxel_size": 0.1, "probabilities": True}
        with pytest.raises(RequestError, match="'adapt' must be true or false"):
            client.wait(client.predict(scene, "box", clicks, options={"adapt": "no"}, **ask), 60)
        adapted = client.wait(client.predict(scene, "box", clicks, options={"adapt": True}, **ask), 60)
        plain = client.wait(client.predict(scene, "box", clicks, **ask), 60)
    assert (adapted.probabilities == expected.probabilities).all()
    assert (plain.probabilities != adapted.probabilities).any()
    assert adapted.timing["adaptation"] > 0


def test_a_scan_without_colours(served):
    room = a_room()
    with connected(served) as client:
        scene = client.put_scene(room.positions)
        assert client.wait(client.predict(scene, "box", CLICKS, **SIZE), 60).mask.any()


def test_two_voxel_sizes_of_one_scene(served):
    room = a_room()
    with connected(served) as client:
        scene = client.put_scene(room.positions, room.colors)
        sizes = (0.05, 0.03, 0.05)
        masks = [client.wait(client.predict(scene, "box", CLICKS, voxel_size=size), 60).mask for size in sizes]
        assert (masks[0] == masks[2]).all()


@pytest.mark.parametrize(
    ("positions", "clicks", "words"),
    [
        (np.zeros((1, 3)), CLICKS, "1 points"),
        (np.zeros((9, 3)), CLICKS, "All points lie within"),
        (np.array([[0, 0, np.nan], [1, 1, 1]]), CLICKS, "no finite position"),
        (np.array([[0, 0, 0], [1e7, 0, 0]]), CLICKS, "wide"),
        (a_room().positions, [Click((900.0, 0.0, 0.0), True)], "near the click"),
    ],
)
def test_scans_and_clicks_that_make_no_sense_get_the_predictors_sentence(served, positions, clicks, words):
    with connected(served) as client:
        request = client.predict(client.put_scene(positions), "x", clicks, **SIZE)
        with pytest.raises(RequestError) as caught:
            client.wait(request, 60)
        assert caught.value.code is ErrorCode.BAD_REQUEST and words in caught.value.message


def test_segment_gives_the_same_masks_here_and_on_the_server(served, environment, tmp_path):
    room = a_room()
    write_ply(tmp_path / "room.ply", room)
    clicks = [{"position": list(click.position), "positive": click.positive} for click in CLICKS]
    (tmp_path / "clicks.json").write_text(json.dumps({"objects": [{"name": "box", "clicks": clicks}]}))
    results = []
    for name, more in (("here", ["--device", "cpu"]), ("there", ["--server", served])):
        out, figures = tmp_path / f"{name}.npz", tmp_path / f"{name}.json"
        scan = [tmp_path / "room.ply", "--clicks", tmp_path / "clicks.json", "--out", out, "--json", figures]
        done = run(environment, "segment", *scan, *more)
        assert done.returncode == 0, done.stderr
        results.append(dict(np.load(out)))
        report = json.loads(figures.read_text())
        assert report["objects"][0]["name"] == "box" and report["objects"][0]["seconds"]["total"] > 0
        assert report["objects"][0]["vertices"] == results[-1]["masks"].sum()
    here, there = results
    assert list(here["names"]) == ["box"] and here["masks"].shape == (1, 13_000)
    assert (here["masks"] == there["masks"]).all()
    assert (here["instance"] == np.where(here["masks"][0], 0, -1)).all()


def test_status_on_the_screen_and_as_json(served, environment, tmp_path):
    done = run(environment, "status", "--address", served)
    assert done.returncode == 0 and "rooms-lite-rgb" in done.stdout and "Workers" in done.stdout
    assert run(environment, "status", "--address", served, "--json", tmp_path / "state.json").returncode == 0
    figures = run(environment, "status", "--address", served, "--prometheus")
    assert figures.returncode == 0 and "\nscanpick_ready 1\n" in figures.stdout
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["ready"] and state["workers"][0]["state"] == "idle"


def test_status_watched_goes_on_over_a_restart(environment):
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "inference_server", "status", "--watch", "--address", address]

    def seen_by(client):
        until = time.monotonic() + 30
        while len(client.status()["clients"]) < 2:
            assert time.monotonic() < until and watching.poll() is None
            time.sleep(0.2)
        time.sleep(3.0)

    with server(address), connected(address) as client:
        watching = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
        seen_by(client)
    time.sleep(2.0)
    with server(address), connected(address) as client:
        seen_by(client)
    watching.send_signal(signal.SIGINT)
    shown, _ = watching.communicate(timeout=10)
    assert watching.returncode == 0 and "sphere" in shown


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_server_whose_output_goes_to_a_full_disk_serves_all_the_same(environment):
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "inference_server", "serve", "--address", address, "--device", "cpu"]
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen([*command, "--threads", "1"], cwd=REPOSITORY, env=environment, stdout=full)
    try:
        with connected(address) as client:
            assert client.status()["ready"] and process.poll() is None
    finally:
        stop(process)


def test_a_second_server_is_refused_with_a_sentence(served, environment):
    done = run(environment, "serve", "--address", served)
    assert done.returncode == 2
    assert "already uses" in done.stderr and "--address" in done.stderr and "Traceback" not in done.stderr


SEGMENT = ("segment", "none.ply", "--clicks", "none.json", "--out", "x.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--address", "tcp://0.0.0.0:47611"], "keys"),
        (["serve", "--address", "47600"], "is no address"),
        (["serve", "--keys", "nowhere"], "can't be read"),
        (["serve", "--address", f"tcp://127.0.0.1:{free_port()}", "--device", "toaster"], "cannot be used here"),
        (["serve", "--devices", "cpu,toaster", "--address", f"tcp://127.0.0.1:{free_port()}"], "cannot be used here"),
        (["serve", "--device", ","], "Name a device"),
        (["status", "--address", "tcp://127.0.0.1:9", "--server-key", "x"], "both"),
        (["serve", "--log", "/dev/null/x/server.log"], "choose another"),
        (["serve", "--figures", "/dev/null/x/scanpick.prom"], "choose another"),
        (["status", "--watch", "--json", "x.json"], "Choose one"),
        (["status", "--address", "tcp://127.0.0.1:9"], "No server answers at tcp://127.0.0.1:9"),
        (["segment", "none.ply", "--clicks", "none.json", "--out", "x.npz"], "no scan file"),
        (["segment", "none.ply", "--clicks", "none.json", "--out", "."], "cannot be written"),
        ([*SEGMENT, "--json", "."], "cannot be written"),
        ([*SEGMENT, "--server", "tcp://127.0.0.1:9", "--device", "cuda"], "the server's own"),
        ([*SEGMENT, "--server-key", "a", "--client-key", "b"], "give its address with --server"),
        (["convert", "none.npz", "--out", "x.npz", "--labels-only", "--thin", "0.5"], "for labels alone"),
    ],
)
def test_mistakes_get_a_sentence(environment, arguments, words):
    done = run(environment, *arguments)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_keys_that_the_command_makes_open_the_server(environment, tmp_path):
    assert run(environment, "keys", "--folder", tmp_path, "--client", "anna").returncode == 0
    address = f"tcp://0.0.0.0:{free_port()}"
    command = [sys.executable, "-m", "inference_server", "serve", "--address", address, "--keys", str(tmp_path)]
    command += ["--idle-exit", "300"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL)
    try:
        here = address.replace("0.0.0.0", "127.0.0.1")
        keys = ["--server-key", tmp_path / "server.key", "--client-key", tmp_path / "clients" / "anna.key_secret"]
        deadline = time.monotonic() + 60
        while (done := run(environment, "status", "--address", here, *keys)).returncode:
            assert time.monotonic() < deadline, done.stderr
        assert "Clients" in done.stdout
    finally:
        stop(process)


RECORD = '{"python": %s, "folder": "f", "arguments": [], "installer_python": %s}'


class TestInstallationRecord:
    @pytest.fixture(autouse=True)
    def config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SCANPICK_CONFIG", str(tmp_path / "config"))
        return tmp_path / "config"

    def test_is_read_as_it_was_written(self):
        installation = location.Installation(sys.executable, str(REPOSITORY))
        file = location.write(installation)
        assert location.read() == installation and installation.problem is None
        assert installation.command == [sys.executable, "-m", "inference_server", "serve"]
        assert [path.name for path in file.parent.iterdir()] == [file.name]

    def test_is_none_where_there_is_none_or_it_is_damaged(self, config):
        assert location.read() is None
        location.write(location.Installation("p", "f"))
        for damage in ("", "{", "[]", "{}", RECORD % ("1", '""'), RECORD % ('"p"', "1")):
            location.record_file().write_text(damage)
            assert location.read() is None

    def test_of_earlier_versions_is_read_and_cannot_be_installed_again(self):
        file = location.write(location.Installation(sys.executable, str(REPOSITORY), installer_python=sys.executable))
        record = json.loads(file.read_text())
        del record["installer_python"]
        file.write_text(json.dumps(record))
        assert location.read() == location.Installation(sys.executable, str(REPOSITORY))
        assert location.read().install_command is None

    def test_says_how_to_install_again_where_the_installer_and_its_python_are_there(self, tmp_path):
        here, gone = str(REPOSITORY), str(tmp_path / "gone")
        script = str(REPOSITORY / "install.py")
        found = location.Installation(gone, here, installer_python=sys.executable)
        assert found.install_command == [sys.executable, script, "serve"]
        assert location.Installation(gone, here, installer_python=gone).install_command is None
        assert location.Installation(gone, str(tmp_path), installer_python=sys.executable).install_command is None

    def test_says_what_is_gone(self, tmp_path):
        assert "Python is gone" in location.Installation(str(tmp_path / "python"), str(tmp_path)).problem
        assert "folder is gone" in location.Installation(sys.executable, str(tmp_path / "gone")).problem

    @pytest.mark.parametrize("system", ["win32", "darwin", "linux"])
    def test_lies_in_the_users_settings_folder(self, system, monkeypatch):
        monkeypatch.delenv("SCANPICK_CONFIG")
        monkeypatch.setattr(sys, "platform", system)
        assert "scanpick" in str(location.record_file()).lower()
