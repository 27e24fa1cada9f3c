"""Running half of a benchmark inside Blender."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ..errors import UserError
from .server import REPOSITORY


def run(script: str, blender: Path | None, scratch: Path, scan: Path, *arguments: str, window: bool = False) -> object:
    """What a script of this folder wrote as JSON, run in Blender with the add-on's zip at hand. Raises UserError.

    Args:
        script: called with the scan, the zip, `arguments` and the file for its JSON.
        blender: a Blender, or the Python of an environment with bpy; None for the first of those that are here.
        window: whether Blender opens its window; the script ends it then.
    """
    sys.path.insert(0, str(REPOSITORY))
    try:
        from installer import bpy_environments
        from installer.console import InstallError
        from installer.extension import fits, manifest_range
        from tools.build_extension import BuildError, build
    except ImportError:
        raise UserError("This benchmark needs the whole Scanpick folder: run it there.") from None
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
