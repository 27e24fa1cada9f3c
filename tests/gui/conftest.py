"""The real Blender with a window, the add-on installed in it, and a server it can talk to."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from inference_server.wire import location
from installer.testing import window_blender

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = 660


@pytest.fixture(scope="session")
def blender_program() -> Path:
    program = window_blender()
    if program is None:
        if os.environ.get("CI") and (REPOSITORY.parent / "shared").exists():
            pytest.fail("there is no Blender with a window, and in CI nothing is left out")
        pytest.skip("no Blender was found: set SCANPICK_BLENDER to one")
    return program


@pytest.fixture(scope="session")
def blender_home(blender_program: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a Blender never used before, with the add-on installed from its zip."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home), "SCANPICK_CONFIG": str(home / "config")}
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PYTHONPATH"):
        environment.pop(name, None)
    folder = os.environ.get("SCANPICK_EXTENSIONS")
    if folder is None:
        sys.path.insert(0, str(REPOSITORY))
        from tools.build_extension import build

        folder = home / "zips"
        build(folder)
    said = subprocess.run([blender_program, "--version"], env=environment, capture_output=True, text=True).stdout
    version = re.search(r"^Blender (\d+)\.(\d+)", said, re.MULTILINE)  # warnings may come before it
    label = "blender-4.2" if tuple(map(int, version.groups())) < (5, 1) else "blender-5.1"
    (zip_file,) = Path(folder).glob(f"*{label}*.zip")
    install = [blender_program, "--command", "extension", "install-file", "-r", "user_default", "-e", zip_file]
    done = subprocess.run(install, env=environment, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    no_splash = "import bpy; bpy.context.preferences.view.show_splash = False; bpy.ops.wm.save_userpref()"
    done = subprocess.run(
        [blender_program, "--background", "--python-expr", no_splash], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return environment


@pytest.fixture
def installed_server(blender_program: Path, blender_home: dict[str, str]) -> Iterator[None]:
    """The record of where the server environment is, as the installer leaves it; Blender must see that folder."""
    python = os.environ.get("SCANPICK_PYTHON", sys.executable)
    look = f"import subprocess; print('runs', subprocess.call([{python!r}, '-c', '']))"
    done = subprocess.run(
        [blender_program, "--background", "--python-expr", look], env=blender_home, capture_output=True, text=True
    )
    if "runs 0" not in done.stdout:
        pytest.skip(f"this Blender cannot run the server's Python, {python}")
    record = Path(blender_home["SCANPICK_CONFIG"]) / location.FILE_NAME
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asdict(location.Installation(python, str(REPOSITORY)))), encoding="utf-8")
    yield
    record.unlink()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the screenshots go: SCANPICK_PICTURES, else a temporary folder."""
    chosen = os.environ.get("SCANPICK_PICTURES")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def sphere_address() -> Iterator[str]:
    """Address of a server that answers with a ball around the clicks (see tests/blender/sphere_server.py)."""
    script = REPOSITORY / "tests" / "blender" / "sphere_server.py"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    python = os.environ.get("SCANPICK_PYTHON", sys.executable)
    process = subprocess.Popen([python, str(script), address])
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def network_address() -> Iterator[str]:
    """Address of the real server with the shipped weights."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    python = os.environ.get("SCANPICK_PYTHON", sys.executable)
    process = subprocess.Popen(
        [python, "-m", "inference_server", "serve", "--address", address, "--threads", "1"],
        cwd=REPOSITORY, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    yield address
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def take_pictures(folder: Path) -> None:
    """Photograph the screen for every request in the folder; ImageMagick's `import` does it, where it is there."""
    for request in folder.glob("*.request"):
        display = request.read_text()
        if display and shutil.which("import"):
            picture = request.with_suffix(".png")
            command = ["import", "-display", display, "-window", "root", str(picture)]
            for _ in range(3):  # on a busy machine the X server may refuse once
                if subprocess.run(command, check=False).returncode == 0:
                    break
        request.unlink()


@pytest.fixture
def play(blender_program: Path, blender_home: dict[str, str], pictures: Path) -> Callable[..., dict]:
    """Play a scene of this folder in the window; returns its facts, fails with its traceback.

    `prepare(out)` may put files into the scene's folder first.
    """

    def run(scene: str, address: str, prepare: Callable[[Path], None] = lambda out: None) -> dict:
        out = pictures / scene
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        prepare(out)
        command = [blender_program, "--enable-event-simulate", "--window-geometry",
                   "0", "0", "1280", "800", "--python", REPOSITORY / "tests" / "gui" / "stage.py", "--", scene, out,
                   address]  # fmt: skip
        with (out / "blender.log").open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command], env=blender_home, cwd=REPOSITORY,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            deadline = time.monotonic() + TIMEOUT
            while process.poll() is None and time.monotonic() < deadline:
                take_pictures(out)
                time.sleep(0.1)
            if process.poll() is None:
                process.terminate()
                process.wait()
        said = (out / "blender.log").read_text(errors="replace")
        file = out / "result.json"
        assert file.exists(), f"Blender ended with {process.returncode} before the scene was over\n{said[-4000:]}"
        result = json.loads(file.read_text())
        assert not result["error"], f"{result['error']}\nPictures: {out}\n{said[-3000:]}"
        assert "Traceback" not in said, said[-3000:]
        return result["facts"]

    return run
