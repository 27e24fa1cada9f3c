"""Running a measuring script inside a Blender without a window, with the add-on's zip built from this checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ..errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]


def run_inside(script: str, arguments: list[object], blender: Path | None, scratch: Path) -> object:
    """Run `script`, a file beside this one, in a Blender with fresh settings; returns the JSON that it wrote.

    The script gets the zip for that Blender, `arguments`, and last the file for its JSON.

    Args:
        blender: a Blender, or the Python of an environment with bpy; None for the first that the tests have.
        scratch: an empty folder for settings and files.
    Raises:
        UserError with the last words of what failed.
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
    command = [str(Path(__file__).with_name(script))]
    if not program.name.lower().startswith("python"):
        command = ["--background", "--python-exit-code", "1", "--python", *command, "--"]
    out = scratch / "figures.json"
    out.unlink(missing_ok=True)
    environment = {**os.environ, "HOME": str(scratch), "BLENDER_USER_RESOURCES": str(scratch / "blender")}
    whole = [str(program), *command, *map(str, (fitting[0], *arguments, out))]
    done = subprocess.run(whole, env=environment, capture_output=True, text=True, errors="replace")
    if not out.exists():
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise UserError(f"The measurement in Blender failed: {said}")
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
