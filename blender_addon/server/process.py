"""The inference server as a child process of Blender: found through the installation record, stopped with Blender."""

import subprocess
import time
from pathlib import Path

import bpy

from ..wire import location
from . import child

LOG_NAME = "scanpick-server.log"
RESTARTS = 3
IDLE_EXIT = 300  # seconds without a client: a server that outlived its Blender ends by itself
RESTART_PERIOD = 60.0


def _log_file() -> Path:
    """The server's output, in Blender's own folder for this extension (never in the add-on's folder)."""
    from .. import __package__ as base

    try:
        folder = Path(bpy.utils.extension_path_user(base, create=True))
    except (ValueError, OSError):
        folder = Path(bpy.app.tempdir)
    return folder / LOG_NAME


class ServerProcess:
    """At most one server started by this Blender."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._address = ""
        self._installs = False  # until the server answers
        self._log: Path | None = None
        self._starts: list[float] = []

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def started_here(self) -> bool:
        return self._process is not None

    @property
    def installing(self) -> bool:
        """Whether the server's environment is being set up again."""
        return self._installs and self.running

    @property
    def doing(self) -> str:
        """What goes on before the server answers, in words."""
        if not self.installing:
            return "The server is starting"
        return f"The server is being installed, which takes minutes. {self._last_words()}".rstrip()

    def problem(self) -> str | None:
        """Why no server can be started, as a sentence with a way out; None where one can."""
        installation = location.read()
        if installation is None:
            return (
                "The inference server is not installed for this user: run 'python install.py blender' in the "
                "Scanpick folder, or give a server's address in the add-on's preferences."
            )
        return installation.problem

    @property
    def installable(self) -> bool:
        """Whether the server's environment can be set up again from here."""
        installation = location.read()
        return installation is not None and installation.install_command is not None

    def start(self, address: str) -> str | None:
        """Start the server on `address`. Returns a sentence where that fails, else None at once (it takes seconds)."""
        if self.running:
            return None
        problem = self.problem()
        if problem:
            return problem
        installation = location.read()
        self._installs = False
        return self._run(installation.command, installation.folder, address)

    def install(self, address: str) -> str | None:
        """Like `start`, after setting the server's environment up again in the same process; it takes minutes."""
        if self.running:
            return None
        if not self.installable:
            return self.problem()
        installation = location.read()
        self._installs = True
        return self._run(installation.install_command, installation.folder, address)

    def _run(self, command: list[str], folder: str, address: str) -> str | None:
        self._log, self._address = _log_file(), address
        self._starts.append(time.monotonic())
        try:
            with self._log.open("wb") as log:
                command = [*command, "--address", address, "--idle-exit", str(IDLE_EXIT)]
                self._process = child.start(command, folder, log, subprocess.STDOUT)
        except OSError as error:
            reason = error.strerror or error
            return f"The server could not be started ({reason}): run 'python install.py blender' again."
        return None

    def ended(self) -> str | None:
        """Where the started server has ended by itself: a sentence with its last words, once; else None."""
        if self._process is None or self._process.poll() is None:
            return None
        code = self._process.returncode
        self._process = None
        words = self._last_words().removeprefix("Error: ")
        what = "The server's installation" if self._installs else "The server"
        return f"{what} ended with code {code}{': ' + words if words else '.'}"

    def answered(self) -> None:
        """The server was reached: where it was installed, that is over."""
        self._installs = False

    def may_restart(self) -> bool:
        """Whether starting again is worth it: not where installing failed, nor after three starts within a minute."""
        if self._installs:
            return False
        now = time.monotonic()
        self._starts = [t for t in self._starts if now - t < RESTART_PERIOD]
        return len(self._starts) < RESTARTS

    def _last_words(self) -> str:
        if self._log is None or not self._log.is_file():
            return ""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""

    def leave(self, address: str) -> None:
        """From now on `address` is asked: a server that was started for another one ends, and nobody waits for it."""
        if address != self._address:
            self._end()

    def stop(self) -> None:
        """End the server that this Blender started; it gets two seconds to finish."""
        process = self._end()
        if process is None:
            return
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(2.0)

    def _end(self) -> subprocess.Popen | None:
        """Tell the server to end; its process, where there is one that still has to."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return None
        child.end(process)
        return process
