"""Find Python interpreters of a given version: Blender as a module exists for 3.11 and 3.13 only."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from .console import try_run

SUPPORTED = ((3, 10), (3, 14))
"""First and last Python that `.venv` may use: those torch has builds for."""

_ASK = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.executable)"


def base_python() -> Path:
    """The interpreter that runs this, and not that of a virtual environment, which may be thrown away."""
    return Path(sys._base_executable)


def is_from_microsofts_store() -> bool:
    """Whether what runs this is the Store's package, which writes into a copy of %APPDATA% of its own."""
    return sys.platform == "win32" and "windowsapps" in PureWindowsPath(sys._base_executable.lower()).parts


def find_python(version: tuple[int, int]) -> Path | None:
    """An interpreter of this version that can make virtual environments, or None."""
    wanted = "{}.{}".format(*version)
    for command in _candidates(wanted):
        answer = try_run([*command, "-c", _ASK], timeout=20)
        if answer and answer.split(" ", 1)[0] == wanted:
            return Path(answer.strip().split(" ", 1)[1])
    return None


def _candidates(wanted: str) -> Iterator[list[str]]:
    """Commands that may start Python `wanted`, the likeliest first."""
    if sys.version_info[:2] == tuple(int(part) for part in wanted.split(".")):
        yield [sys.executable]
    if found := shutil.which(f"python{wanted}"):
        yield [found]
    if sys.platform == "win32" and shutil.which("py"):
        yield ["py", f"-{wanted}"]
    home = Path.home()
    if sys.platform == "win32":
        pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv" / "pyenv-win") / "versions"
        uv = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming") / "uv" / "python"
        for folder in sorted([*pyenv.glob(f"{wanted}.*"), *uv.glob(f"cpython-{wanted}.*")], reverse=True):
            narrow = folder.name.endswith("-win32") or "-windows-x86-" in folder.name  # 32 bits, for which bpy isn't
            if (folder / "python.exe").exists() and not narrow:
                yield [str(folder / "python.exe")]
        return
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    folders = [
        *sorted(pyenv.glob(f"{wanted}.*/bin"), reverse=True),
        *sorted((home / ".local/share/uv/python").glob(f"cpython-{wanted}.*/bin"), reverse=True),
        Path(f"/Library/Frameworks/Python.framework/Versions/{wanted}/bin"),
        *(Path(folder) for folder in ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin")),
    ]
    for folder in folders:
        if (folder / f"python{wanted}").exists():
            yield [str(folder / f"python{wanted}")]
