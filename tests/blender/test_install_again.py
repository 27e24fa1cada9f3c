"""A server installation that broke: what the sidebar offers, and the way to the mask from there."""

import subprocess
import sys
import time

import pytest
from conftest import (
    REPOSITORY,
    add_mesh,
    free_address,
    grid_points,
    group,
    listed,
    notice,
    preferences,
    pump,
    server_python,
)

MIDDLE = 820
BUTTON = "scanpick.install_again"
INSTALLS = f"""
import runpy, sys, time
print("Installing PyTorch: downloading torch, 20 of 190 MB", flush=True)
time.sleep(1)
command, _, address = sys.argv[1:4]
assert command == "serve"
sys.argv[1:] = [address]
runpy.run_path({str(REPOSITORY / "tests" / "blender" / "sphere_server.py")!r}, run_name="__main__")
"""
FAILS = """
import sys
print("Setting up")
sys.exit("Error: Installing PyTorch failed; the disk is full: free some space and run this again.")
"""


@pytest.fixture
def online(blender):
    """Blender's online access, allowed."""
    system = blender.context.preferences.system
    system.use_online_access = True
    yield system
    system.use_online_access = False


@pytest.fixture
def broken(blender, session, module, tmp_path):
    """A scan, and the record of an installation whose environment is gone; call it with its install.py, if any."""
    location = module("wire.location")
    add_mesh(grid_points())
    listed(blender).voxel_size = 0.021
    settings = preferences()
    settings.address, settings.start_server = free_address(), True

    def record(script=None, python="gone", installer_python=None):
        if script is not None:
            (tmp_path / "install.py").write_text(script)
        location.write(
            location.Installation(
                str(tmp_path / python), str(tmp_path), installer_python=installer_python or server_python()
            )
        )
        return blender

    yield record
    session.connection.shut_down()
    location.record_file().unlink()


def wait_for(session, condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, session.connection.text
        session.pump()
        time.sleep(0.01)


def test_install_again_brings_the_server_and_the_click_its_mask(broken, online, session):
    blender = broken(INSTALLS)
    assert blender.ops.scanpick.click(vertex=MIDDLE) == {"CANCELLED"}
    assert "Python is gone" in notice(blender, session)
    assert session.notice_of(listed(blender).id_data.session_uid).operator == BUTTON
    began = time.monotonic()
    assert blender.ops.scanpick.install_again() == {"FINISHED"}
    assert time.monotonic() - began < 0.5, "the window does not wait"
    assert notice(blender, session) == ""
    assert blender.ops.scanpick.click(vertex=MIDDLE) == {"FINISHED"}
    wait_for(session, lambda: "being installed" in session.connection.text)
    wait_for(session, lambda: session.connection.text.endswith("downloading torch, 20 of 190 MB"))
    pump(session, 30)
    assert MIDDLE in group("Object 1")
    assert not session.connection.process.installing


def test_a_server_of_ones_own_is_left_with_its_address(broken, online, session):
    blender = broken(INSTALLS)
    blender.ops.scanpick.install_again()
    wait_for(session, lambda: session.connection.state.value == "connected")
    process, began = session.connection.process._process, time.monotonic()
    preferences().address = "tcp://127.0.0.1:9"
    assert time.monotonic() - began < 0.5, "the window does not wait"
    assert not session.connection.process.running
    wait_for(session, lambda: process.poll() is not None)
    assert session.connection.text == "Not connected"
    assert blender.ops.scanpick.click(vertex=MIDDLE) == {"CANCELLED"}
    assert "Python is gone" in notice(blender, session), "and a click there asks for a server there"


def test_a_failure_is_said_in_the_installers_words_and_the_button_stays(broken, online, session):
    blender = broken(FAILS)
    assert blender.ops.scanpick.install_again() == {"FINISHED"}
    wait_for(session, lambda: session.connection.trouble)
    said = "The server's installation ended with code 1: Installing PyTorch failed; the disk is full"
    assert session.connection.text.startswith(said)
    assert session.connection.remedy == BUTTON


def test_a_stopped_installation_is_over(broken, online, session):
    blender = broken("import time; time.sleep(60)")
    blender.ops.scanpick.install_again()
    process = session.connection.process._process
    assert session.connection.process.installing
    assert blender.ops.scanpick.server_stop() == {"FINISHED"}
    assert process.poll() is not None
    assert session.connection.text == "Not connected" and not session.connection.process.installing


def test_where_blender_is_to_stay_offline_that_is_said(broken, session):
    blender = broken(INSTALLS)
    assert not blender.app.online_access
    assert blender.ops.scanpick.install_again() == {"CANCELLED"}
    assert "allow online access in Preferences > System > Network" in session.connection.text
    assert session.connection.remedy == BUTTON
    assert not session.connection.process.running


def test_a_server_that_does_not_start_is_installed_again(broken, session, tmp_path):
    subprocess.run([server_python(), "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    blender = broken(INSTALLS, python="empty/Scripts/python.exe" if sys.platform == "win32" else "empty/bin/python")
    assert session.connection.remedy == "scanpick.server_start"
    assert blender.ops.scanpick.server_start() == {"FINISHED"}
    wait_for(session, lambda: session.connection.remedy == BUTTON)
    assert "No module named inference_server" in session.connection.text


@pytest.mark.parametrize("gone", ["installer", "its Python"])
def test_without_an_installer_only_the_sentence_is_left(broken, online, session, tmp_path, gone):
    if gone == "installer":
        blender = broken()
    else:
        blender = broken(INSTALLS, installer_python=str(tmp_path / "gone as well"))
    assert not blender.ops.scanpick.install_again.poll()
    assert blender.ops.scanpick.server_start() == {"CANCELLED"}
    assert "run 'python install.py blender' again" in session.connection.text
    assert session.connection.remedy == "scanpick.show_preferences"
