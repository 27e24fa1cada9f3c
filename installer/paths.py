"""Where things lie: the repository, its `.venv`, the user's cache folder."""

import os
import re
import sys
import tempfile
from pathlib import Path

from .console import InstallError

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
LOG = VENV / "install.log"


def cache_folder() -> Path:
    """The folder for what is slow to get again and belongs to no checkout; made if missing.

    `SCANPICK_CACHE` decides, else the system's custom; where neither can be written, a folder in `.venv`.
    """
    chosen = os.environ.get("SCANPICK_CACHE")
    for folder in [Path(chosen)] if chosen else [_user_cache() / "scanpick", VENV / "cache"]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            return folder.resolve()
        except OSError:
            continue
    raise InstallError(f"The cache folder {chosen or VENV / 'cache'} cannot be written; set SCANPICK_CACHE to another.")


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def venv_python(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if sys.platform == "win32" else venv / "bin" / "python"


def torch_release() -> str:
    """The release of torch that pyproject.toml pins, e.g. "2.13.0"."""
    return re.search(r'"torch==([\d.]+)"', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))[1]
