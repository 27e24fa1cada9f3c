"""The add-on's children and how they end, on Windows too, where a program of the system ends them."""

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

TASKKILL = """#!/bin/sh
(echo "$@"; cat) > {}
"""


@pytest.fixture
def child() -> ModuleType:
    """The module by its file: the add-on's package itself needs Blender."""
    file = Path(__file__).parents[2] / "blender_addon" / "server" / "child.py"
    spec = importlib.util.spec_from_file_location("scanpick_child", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sleeper(child, tmp_path) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = child.start(command, tmp_path, subprocess.DEVNULL, subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def windows(child, tmp_path, monkeypatch) -> Path:
    """A folder for the system's programs."""
    if sys.platform == "win32":
        pytest.skip("this is no imitation of Windows")
    monkeypatch.setattr(child, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path


def test_a_child_ends(child, sleeper):
    child.end(sleeper)
    sleeper.wait(10)


def test_on_windows_its_own_children_end_with_it(child, sleeper, windows):
    said = windows / "said"
    (windows / "taskkill").write_text(TASKKILL.format(said))
    (windows / "taskkill").chmod(0o755)
    child.end(sleeper)
    deadline = time.monotonic() + 10
    while not (said.exists() and said.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert said.read_text() == f"/PID {sleeper.pid} /T /F\n"


def test_on_a_windows_without_that_program_it_ends_all_the_same(child, sleeper, windows):
    child.end(sleeper)
    sleeper.wait(10)
