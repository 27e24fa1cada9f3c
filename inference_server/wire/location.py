"""Where the server is installed, so that the add-on can start it by itself: one small JSON file per user."""

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE_NAME = "server.json"


@dataclass(frozen=True)
class Installation:
    """How to start the server: `[python, *arguments]` run in `folder`.

    installer_python: what `install.py` in `folder` was run with, "" in records of earlier versions.
    """

    python: str
    folder: str
    arguments: list[str] = field(default_factory=lambda: ["-m", "inference_server", "serve"])
    installer_python: str = ""

    @property
    def command(self) -> list[str]:
        return [self.python, *self.arguments]

    def run(self, command: str) -> list[str]:
        """How to run another command of the server's environment."""
        return [self.python, "-m", "inference_server", command]

    @property
    def install_command(self) -> list[str] | None:
        """How to set the server's environment up again and start the server, or None where that can't be done."""
        script = Path(self.folder) / "install.py"
        if not script.is_file() or not Path(self.installer_python).is_file():
            return None
        return [self.installer_python, str(script), "serve"]

    @property
    def problem(self) -> str | None:
        """One sentence about why it can't be started any more, or None."""
        if not Path(self.python).is_file():
            return f"The server's Python is gone ({self.python}): run 'python install.py blender' again."
        if not Path(self.folder).is_dir():
            return f"The server's folder is gone ({self.folder}): run 'python install.py blender' again."
        return None


def config_folder() -> Path:
    """The user's folder for Scanpick's settings; the environment's SCANPICK_CONFIG overrides it."""
    if override := os.environ.get("SCANPICK_CONFIG"):
        return Path(override)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "Scanpick"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Scanpick"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "scanpick"


def record_file() -> Path:
    """The file that holds the installation record."""
    return config_folder() / FILE_NAME


def read() -> Installation | None:
    """The recorded installation, or None where there is none that can be read."""
    try:
        record = json.loads(record_file().read_text(encoding="utf-8"))
        found = Installation(
            record["python"], record["folder"], list(record["arguments"]), record.get("installer_python", "")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    parts = [*found.command, found.folder, found.installer_python]
    return found if all(isinstance(part, str) for part in parts) else None


def write(installation: Installation) -> Path:
    """Record an installation; the old record stays whole until the new one is. Raises OSError. Returns the
    file."""
    file = record_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}.tmp")
    fresh.write_text(json.dumps(asdict(installation), indent=2) + "\n", encoding="utf-8")
    fresh.replace(file)
    return file
