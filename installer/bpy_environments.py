"""Environments with Blender as a Python module (bpy), kept in the user's cache folder for all checkouts."""

import ctypes
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from . import debian
from .console import InstallError, in_ci, try_run
from .environment import make_venv, pip_install
from .interpreters import find_python
from .paths import cache_folder, venv_python


@dataclass(frozen=True)
class Wheel:
    """One bpy wheel: Blender's series, its release, the only Python it runs in, its needs."""

    series: str
    release: str
    python: tuple[int, int]
    needs: tuple[str, ...] = ()

    @property
    def requirements(self) -> list[str]:
        """What pip is asked for."""
        return [f"bpy=={self.release}", *self.needs]


WHEELS = (
    Wheel("4.2", "4.2.23", (3, 11), ("numpy<2",)),  # compiled against numpy 1
    Wheel("5.2", "5.2.3", (3, 13)),
)
"""The oldest and the newest Blender we promise to run in."""

_LIBRARIES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXi.so.6": "libxi6",
    "libXfixes.so.3": "libxfixes3",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
}
"""Shared libraries that the wheels load, and Debian's packages with them; not every machine has them."""


def environment(wheel: Wheel, extra: tuple[str, ...] = ()) -> Path:
    """The interpreter of an environment with this bpy and the `extra` distributions; made or mended.

    Raises InstallError where its Python is not here, a download fails or a system library is missing.
    """
    folder = cache_folder() / f"bpy-{wheel.series}"
    python = venv_python(folder)
    missing = missing_distributions(python, wheel, extra)
    if missing is None:
        base = find_python(wheel.python)
        if base is None:
            raise InstallError(
                "Blender {} as a module needs Python {}.{}, which was not found; install it "
                "(pyenv and uv can) and run this again.".format(wheel.series, *wheel.python)
            )
        shutil.rmtree(folder, ignore_errors=True)
        make_venv(base, folder)
        pip_install(python, ["--upgrade", "pip>=25.1,<27"], f"Preparing an environment for Blender {wheel.series}")
        missing = missing_distributions(python, wheel, extra)
    if missing:
        ensure_libraries()
        what = f"Blender {wheel.release} as a module" if wheel.requirements[0] in missing else " ".join(missing)
        pip_install(python, missing, f"Installing {what}")
    return python


def missing_distributions(python: Path, wheel: Wheel, extra: tuple[str, ...] = ()) -> list[str] | None:
    """Requirements that an environment still lacks; None where there is no working environment at all."""
    code = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    answer = try_run([python, "-c", code])
    if answer is None:
        return None
    present = json.loads(answer)
    if "pip" not in present:
        return None  # it was interrupted while it was made
    wanted = wheel.requirements if present.get("bpy") != wheel.release else []
    return wanted + [name for name in extra if name.lower() not in present]


def ensure_libraries() -> None:
    """Have the shared libraries that the wheels load. Raises InstallError with their packages."""
    if sys.platform != "linux":
        return
    missing = [package for library, package in _LIBRARIES.items() if not _loads(library)]
    if missing:
        debian.ensure(missing, "Blender needs system libraries that are missing")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def all_environments(extra: tuple[str, ...] = ()) -> tuple[dict[str, Path], dict[str, str]]:
    """Every environment this machine can have: ({series: interpreter}, {series: why it is left out}).

    In CI nothing may be left out: there the reason is raised as InstallError.
    """
    made, left_out = {}, {}
    for wheel in WHEELS:
        try:
            made[wheel.series] = environment(wheel, extra)
        except InstallError as error:
            if in_ci():
                raise
            left_out[wheel.series] = str(error)
    return made, left_out


def first_environment() -> Path:
    """The interpreter of the first environment that can be had, those already there first."""
    ready = [w for w in WHEELS if missing_distributions(venv_python(cache_folder() / f"bpy-{w.series}"), w) == []]
    reasons = []
    for wheel in [*ready, *(w for w in WHEELS if w not in ready)]:
        try:
            return environment(wheel)
        except InstallError as error:
            reasons.append(str(error))
    raise InstallError(reasons[0])
