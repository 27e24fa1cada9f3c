"""The server environment's readers and writers of files, run as a process beside Blender: `convert`."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import bpy

from ..wire import location
from . import child

STEP = 0.05  # seconds that a script waits for news; the window never waits


class ConversionError(Exception):
    """A file could not be converted; the text is one sentence."""


class Conversion:
    """One running conversion. Its scratch folder (`folder`) lives as long as it does; use it as a context manager.

    Raises ConversionError where the server environment is not there or does not start.
    """

    def __init__(self) -> None:
        installation = location.read()
        if installation is None:
            raise ConversionError(
                "Files of this kind are read and written by the inference server's environment, which is not installed "
                "for this user: run 'python install.py blender' in the Scanpick folder."
            )
        if installation.problem:
            raise ConversionError(installation.problem)
        self._installation = installation
        self._scratch = tempfile.TemporaryDirectory(
            prefix="scanpick-", dir=bpy.app.tempdir or None, ignore_cleanup_errors=True
        )
        self.folder = Path(self._scratch.name)
        self._process: subprocess.Popen | None = None

    def run(self, *arguments: str | Path) -> Iterator[float | None]:
        """`convert` with these arguments, in steps: yields the share that is done, None where there is no news.

        Raises ConversionError with the command's sentence.
        """
        command = [*self._installation.run("convert"), *map(str, arguments), "--progress"]
        said, complaints = self.folder / "said.txt", self.folder / "complaints.txt"
        try:
            with said.open("wb") as output, complaints.open("wb") as errors:
                self._process = child.start(command, self._installation.folder, output, errors)
        except OSError as error:
            reason = error.strerror or error
            raise ConversionError(
                f"The converter could not be started ({reason}): run 'python install.py blender' again."
            ) from error
        share = 0.0
        while self._process.poll() is None:
            now = _last_share(said)
            yield now if now is not None and now > share else None
            share = max(share, now or 0.0)
        if self._process.returncode:
            lines = complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            words = lines[-1].removeprefix("Error: ") if lines else f"it ended with code {self._process.returncode}"
            raise ConversionError(words)

    def __enter__(self) -> "Conversion":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()


def _last_share(said: Path) -> float | None:
    for line in reversed(said.read_text(encoding="utf-8").splitlines()):
        try:
            return float(json.loads(line).get("share", 1.0))
        except ValueError:  # a line that is only half there
            continue
    return None


def wait(steps: Iterator[float | None]) -> None:
    """Run steps to their end without a window."""
    for share in steps:
        if share is None:
            time.sleep(STEP)
