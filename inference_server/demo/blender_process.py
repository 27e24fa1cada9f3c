"""Blender without a window as a child process that answers requests: JSON lines over a local socket."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from inference_server.errors import UserError

_SCRIPT = Path(__file__).with_name("inside_blender.py")
_START_SECONDS = 120.0


class BlenderProcess:
    """Blender with a settings folder of its own: the user's preferences and add-ons stay as they are.

    program: a Blender, or the Python of an environment with bpy. scratch: a folder for its settings.
    log: the file for all that Blender prints. environment: variables to add.
    Raises UserError where it does not start.
    """

    def __init__(self, program: Path, scratch: Path, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
            port = str(listener.getsockname()[1])
            script = [str(_SCRIPT), "--", port]
            if not program.name.lower().startswith("python"):
                script = ["--background", "--python-exit-code", "1", "--python", *script]
            settings = {"BLENDER_USER_RESOURCES": str(scratch), "HOME": str(scratch), "OMP_NUM_THREADS": "1"}
            try:
                self.process = subprocess.Popen(
                    [str(program), *script],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    env={**os.environ, **settings, **environment},
                )  # fmt: skip
            except OSError as error:
                raise UserError(f"{program} cannot be started: {error.strerror}.") from error
            listener.settimeout(0.2)
            until = time.monotonic() + _START_SECONDS
            while True:
                try:
                    self._connection = listener.accept()[0]
                    break
                except TimeoutError:
                    if self.process.poll() is not None or time.monotonic() > until:
                        self.close()
                        raise UserError(f"Blender ({program}) did not start; its words are in {log}.") from None
        self._connection.settimeout(None)
        self._stream = self._connection.makefile("rw", encoding="utf-8", newline="\n")

    def ask(self, do: str, **arguments: object) -> dict:
        """Have Blender carry out one request. Raises UserError with Blender's or the add-on's sentence."""
        try:
            self._stream.write(json.dumps({"do": do, **arguments}) + "\n")
            self._stream.flush()
            line = self._stream.readline()
        except OSError:
            line = ""
        if not line:
            raise UserError(f"Blender ended unexpectedly; its last words are in {self.log}.")
        answer = json.loads(line)
        if "refused" in answer:
            raise UserError(answer["refused"])
        return answer

    def close(self) -> None:
        """End the process; it gets ten seconds to do so by itself."""
        if hasattr(self, "_stream"):
            self._stream.close()
            self._connection.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "BlenderProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
