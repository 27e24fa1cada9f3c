"""`install.py test`: everything the tests need, then one run of pytest."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import bpy_environments, environment, extension, minkowski
from .console import InstallError, in_ci, say
from .paths import REPOSITORY


def run_tests(device: str, arguments: list[str]) -> int:
    """Prepare what the tests need, name what this machine cannot run, run pytest; returns its exit code.

    In CI nothing is left out: what cannot be prepared there raises InstallError.
    """
    python = environment.ensure(device, ("test",))
    left_out = {}
    try:
        minkowski.install(python)
    except InstallError as error:
        if in_ci():
            raise
        left_out["parity with MinkowskiEngine"] = str(error)
    blenders, reasons = bpy_environments.all_environments(extra=("pytest",))
    left_out.update({f"the add-on in Blender {series}": reason for series, reason in reasons.items()})
    window = window_blender()
    if window is None:
        reason = "no Blender was found; set SCANPICK_BLENDER to one"
        if in_ci():
            raise InstallError(f"The tests in Blender's window cannot run: {reason}.")
        left_out["the add-on in Blender's window"] = reason
    extensions = extension.build(python)
    for what, reason in left_out.items():
        say(f"Left out: {what}: {reason}")
    with tempfile.TemporaryDirectory(prefix="scanpick-test-", ignore_cleanup_errors=True) as scratch:
        variables = {
            "SCANPICK_PYTHON": str(python),
            "SCANPICK_EXTENSIONS": str(extensions),
            "SCANPICK_BPY": os.pathsep.join(f"{series}={path}" for series, path in blenders.items()),
            "SCANPICK_CONFIG": scratch,
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if window is not None:
            variables["SCANPICK_BLENDER"] = str(window)
        return subprocess.run(
            [str(python), "-m", "pytest", *arguments], cwd=REPOSITORY, env={**os.environ, **variables}
        ).returncode


def window_blender() -> Path | None:
    """What starts a Blender with a window: SCANPICK_BLENDER, one beside the checkout, the user's."""
    if chosen := os.environ.get("SCANPICK_BLENDER"):
        return Path(chosen)
    beside = REPOSITORY.parent / "shared" / "tools" / "real-blender"
    if beside.exists():
        return beside
    found = shutil.which("blender")
    return Path(found) if found and os.environ.get("DISPLAY") else None
