"""Build the add-on's zips, check them with Blender's own tool, install them into the Blenders found."""

import hashlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from . import bpy_environments
from .console import CommandFailed, InstallError, run, say, try_run
from .interpreters import base_python
from .paths import LOG, REPOSITORY, VENV, cache_folder, venv_python

_SOURCES = (
    "blender_addon",
    "inference_server/wire",
    "inference_server/__init__.py",
    "tools/build_extension.py",
    "LICENSE",
)
_OLDEST = (4, 2)
_RECORD = """
import sys
from inference_server.wire import location
python, folder, installer_python = sys.argv[1:]
print(location.write(location.Installation(python, folder, installer_python=installer_python)))
"""


def build(python: Path) -> Path:
    """The folder with one zip per range of Blender releases; built where the sources have changed."""
    folder = VENV / "extensions"
    stamp = folder / "sources.sha256"
    digest = _sources_digest()
    if stamp.exists() and stamp.read_text() == digest and list(folder.glob("*.zip")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        run(
            [python, REPOSITORY / "tools" / "build_extension.py", folder],
            "Building the Blender add-on",
            log=LOG,
        )
    except CommandFailed as error:
        raise CommandFailed(f"The Blender add-on could not be built; see {LOG}.", error.tail) from error
    stamp.write_text(digest)
    return folder


def install(python: Path, chosen: Path | None, *, with_server: bool = True) -> None:
    """Install the add-on into `chosen`, or into every Blender found, and tell it where the server lives.

    with_server: whether `python` has what the server needs; else any Python with pip does, and nothing is told.
    Raises InstallError where there is no Blender to install into, one is too old, or it refuses the zip.
    """
    zips = sorted(build(python).glob("*.zip"))
    if with_server:
        _record_server(python)
    blenders = {chosen: blender_version(chosen)} if chosen else find_blenders()
    if chosen and blenders[chosen] is None:
        raise InstallError(f"{chosen} is not a Blender that starts; give the program's own path to --blender.")
    if not blenders:
        _validate_without_blender(zips)
        raise InstallError(
            f"No Blender was found: give one with --blender PATH, or drag a zip of {zips[0].parent} into it."
        )
    for program, version in blenders.items():
        _install_into(program, version, zips)


def _record_server(python: Path) -> None:
    recorded = try_run([python, "-c", _RECORD, python, REPOSITORY, base_python()], cwd=REPOSITORY)
    if recorded is None:
        raise InstallError("The place of the server could not be recorded; is the configuration folder writable?")
    say(f"  The add-on will start the server from {REPOSITORY} (recorded in {recorded.strip()})")


def _install_into(program: Path, version: tuple[int, int, int], zips: list[Path]) -> None:
    name = f"Blender {'.'.join(str(part) for part in version)}"
    fitting = [zip_file for zip_file in zips if fits(manifest_range(zip_file), version)]
    if not fitting:
        raise InstallError(f"{name} ({program}) is too old: the add-on runs in Blender 4.2 and newer.")
    try:
        run(
            [program, "--command", "extension", "validate", fitting[0]],
            f"{name}: checking the add-on",
            log=LOG,
        )
        command = [program, "--command", "extension", "install-file", "-r", "user_default", "-e", fitting[0]]
        run(command, f"{name}: installing the add-on", log=LOG)
    except CommandFailed as error:
        raise CommandFailed(f"{name} ({program}) refused the add-on; its words are in {LOG}.", error.tail) from error
    say(f"  {name}: ready. In the 3D viewport press N and choose the tab Scanpick.")


def _validate_without_blender(zips: list[Path]) -> None:
    """Check the zips with the tool inside a bpy wheel, where one is there."""
    for wheel in bpy_environments.WHEELS:
        folder = cache_folder() / f"bpy-{wheel.series}"
        for tool in folder.glob("**/bl_pkg/cli/blender_ext.py"):
            for zip_file in zips:
                run([venv_python(folder), tool, "validate", zip_file], f"Checking {zip_file.name}", log=LOG)
            return


def find_blenders() -> dict[Path, tuple[int, int, int]]:
    """Blenders of this machine that are new enough: program -> version."""
    found: dict[Path, tuple[int, int, int]] = {}
    for program in _candidates():
        version = blender_version(program) if program.exists() else None
        if version and version[:2] >= _OLDEST and program.resolve() not in {path.resolve() for path in found}:
            found[program] = version
    return found


def blender_version(program: Path) -> tuple[int, int, int] | None:
    """The version that a program prints if it is a Blender, else None."""
    return parse_version(try_run([program, "--version"], timeout=60) or "")


def parse_version(text: str) -> tuple[int, int, int] | None:
    """(5, 2, 1) from the text of `blender --version`; None where there is no version in it."""
    found = re.search(r"^Blender (\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _candidates() -> Iterator[Path]:
    if program := shutil.which("blender"):
        yield Path(program)
    home = Path.home()
    if sys.platform == "darwin":
        for folder in (Path("/Applications"), home / "Applications"):
            yield from sorted(folder.glob("Blender*.app/Contents/MacOS/Blender"))
    elif sys.platform == "win32":
        for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)"):
            root = Path(os.environ.get(variable, "C:/Program Files"))
            yield from sorted(root.glob("Blender Foundation/Blender */blender.exe"))
            yield from sorted(root.glob("Steam/steamapps/common/Blender/blender.exe"))
    else:
        yield Path("/snap/bin/blender")
        for folder in (home, home / "Downloads", home / "Applications", Path("/opt"), Path("/usr/local")):
            yield from sorted(folder.glob("[Bb]lender*/blender"))
        yield home / ".steam/steam/steamapps/common/Blender/blender"


def manifest_range(zip_file: Path) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """First Blender release an extension zip is for, and the first it is no longer for (None = no end)."""
    with zipfile.ZipFile(zip_file) as archive:
        text = archive.read("blender_manifest.toml").decode("utf-8")
    bounds = dict(re.findall(r'^blender_version_(min|max)\s*=\s*"([\d.]+)"', text, re.MULTILINE))
    split = {name: tuple(int(part) for part in value.split(".")) for name, value in bounds.items()}
    return split["min"], split.get("max")


def fits(bounds: tuple[tuple[int, ...], tuple[int, ...] | None], version: tuple[int, int, int]) -> bool:
    """Whether a Blender release lies in a manifest's range (as in Blender, the end is outside)."""
    first, end = bounds
    return first <= version and (end is None or version < end)


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for source in _SOURCES:
        path = REPOSITORY / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
