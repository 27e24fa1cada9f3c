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


def end(process: subprocess.Popen) -> None:
    """Tell a child to end, with the processes that it runs."""
    if sys.platform != "win32":
        process.terminate()
        return
    # where the end of a process is not that of the processes it runs
    command = ["taskkill", "/PID", str(process.pid), "/T", "/F"]
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        subprocess.Popen(command, creationflags=subprocess.CREATE_NO_WINDOW, **quiet)
    except OSError:
        process.kill()
