"""Running half of a benchmark inside Blender, with a server beside it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..wire.client import Client

REPOSITORY = Path(__file__).resolve().parents[2]


@contextmanager
def server(device: str, weights: str, scratch: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server with one torch thread: its address, and what it says about itself. Raises UserError."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    arguments = ["serve", "--address", address, "--device", device, "--weights", weights, "--threads", "1"]
    arguments += ["--idle-exit", "600"]
    log = scratch / "server.log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference_server", *arguments, "--log", str(scratch / "serve.log")],
            cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield address, _about(address, process, log)
    finally:
        process.terminate()
        process.wait()


def _about(address: str, process: subprocess.Popen, log: Path) -> dict[str, str]:
    client = Client(address)
    until = time.monotonic() + 120
    while client.server is None or not client.server.ready:
        client.poll(50)
        if process.poll() is not None or time.monotonic() > until:
            words = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"The server did not start: {words}")
    about = {"device": client.server.device, "model": client.server.model, "engine": client.server.engine}
    client.close()
    return about


def run(script: str, blender: Path | None, scratch: Path, scan: Path, *arguments: str, window: bool = False) -> object:
    """What a script of this folder wrote as JSON, run in Blender with the add-on's zip at hand. Raises UserError.

    Args:
        script: called with the scan, the zip, `arguments` and the file for its JSON.
        blender: a Blender, or the Python of an environment with bpy; None for the first of those that are here.
        window: whether Blender opens its window; the script ends it then.
    """
    sys.path.insert(0, str(REPOSITORY))
    from installer import bpy_environments
    from installer.console import InstallError
    from installer.extension import fits, manifest_range
    from tools.build_extension import BuildError, build

    try:
        program = blender or bpy_environments.first_environment()
        zips = build(scratch / "zips")
    except (InstallError, BuildError) as error:
        raise UserError(str(error)) from error
    version = _version(program)
    fitting = [z for z in zips if fits(manifest_range(z), version)]
    if not fitting:
        raise UserError(f"{program} is Blender {version}: the add-on runs in Blender 4.2 and newer.")
    out = scratch / "figures.json"
    called = [str(Path(__file__).with_name(script))]
    if window:
        called = ["--window-geometry", "0", "0", "1280", "800", "--python", *called, "--"]
    elif not program.name.lower().startswith("python"):
        called = ["--background", "--python-exit-code", "1", "--python", *called, "--"]
    environment = {**os.environ, "HOME": str(scratch), "BLENDER_USER_RESOURCES": str(scratch / "blender")}
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [str(program), *called, str(scan), str(fitting[0]), *arguments, str(out)],
        env=environment, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    if not out.exists():
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise UserError(f"The benchmark in Blender failed: {said}")
    return json.loads(out.read_text(encoding="utf-8"))


def _version(program: Path) -> tuple[int, int, int]:
    if program.name.lower().startswith("python"):
        done = subprocess.run(
            [str(program), "-c", "import bpy; print(*bpy.app.version)"], capture_output=True, text=True
        )
        words = done.stdout.split()[-3:]
    else:
        done = subprocess.run([str(program), "--version"], capture_output=True, text=True)
        words = done.stdout.split()[1].split(".") if done.stdout.startswith("Blender") else []
    if len(words) != 3:
        raise UserError(f"{program} is not a Blender that starts; give the program's own path to --blender.")
    return tuple(int(word) for word in words)
