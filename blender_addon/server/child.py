"""Programs of the server's environment as children of Blender."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO


def start(command: list[str], folder: str | Path, output: IO[bytes], errors: IO[bytes] | int) -> subprocess.Popen:
    """Start a command without a window, its words in UTF-8 and without Blender's Python settings. Raises OSError."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
    )
