"""What the user sees: steps, the progress of a running program, and one sentence for what went wrong."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path


class InstallError(Exception):
    """Something the user can mend; its text is one sentence that says what is wrong and what to do."""


class CommandFailed(InstallError):
    """A program ended with an error; `tail` holds its last lines of output."""

    def __init__(self, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.tail = tail


def say(text: str = "") -> None:
    """Print a line at once (pipes and CI logs buffer otherwise)."""
    print(text, flush=True)


def in_ci() -> bool:
    """True where nobody can answer a question and nothing may be left out."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def interactive() -> bool:
    """True where a person can be asked."""
    return not in_ci() and sys.stdin is not None and sys.stdin.isatty()


def progress_text(line: str, name: str) -> tuple[str, str]:
    """What to show for a line of pip's or ninja's output: (name of what is fetched, text; "" = nothing new).

    pip with `--progress-bar raw` prints `Progress BYTES of TOTAL` after `Downloading FILE`, ninja `[3/13]`.
    """
    if found := re.match(r"\s*Downloading (\S+)", line):
        name = re.sub(r"-(cp|py)\d.*|\.tar\.gz.*|\.whl.*", "", found[1].rsplit("/", 1)[-1])
        return name, f"downloading {name}"
    if found := re.match(r"\s*Progress (\d+) of (\d+)", line):
        done, total = int(found[1]), int(found[2])
        return name, f"downloading {name}, {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total > 2e6 else ""
    if re.match(r"\s*Installing collected packages", line):
        return name, "unpacking"
    if found := re.match(r"\s*\[(\d+)/(\d+)\]", line):
        return name, f"compiled {found[1]} of {found[2]} files"
    return name, ""


def environment_of_children(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a program whose output is read here, and what is `extra` to it."""
    # a Python writes into pipes as its system does, on Windows in a code page, and all that is read here is UTF-8
    return {**os.environ, "PYTHONIOENCODING": "utf-8", **(extra or {})}


def _width() -> int:
    """Columns of a line that is written over again; one that wraps can not be."""
    return max(20, shutil.get_terminal_size().columns - 1)


class _Output(threading.Thread):
    """Reads a program's output into a log file, keeping its last lines and what to show of them."""

    def __init__(self, stream, log: Path | None) -> None:
        super().__init__(daemon=True)
        self.stream, self.log, self.shown, self.tail = stream, log, "", deque(maxlen=40)
        self.start()

    def run(self) -> None:
        name = ""
        with (self.log or Path(os.devnull)).open("a", encoding="utf-8") as log:
            for raw in self.stream:
                line = raw.decode("utf-8", "replace").rstrip()
                name, text = progress_text(line, name)
                self.shown = text or self.shown
                if not line.lstrip().startswith("Progress "):
                    self.tail.append(line)
                    log.write(line + "\n")


def run(
    command: Sequence[str | Path],
    what: str,
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program while showing `what`, how far it is and the seconds; returns its last lines of output.

    `env` is added to the environment. Raises CommandFailed with the last lines and the log's place, or with why the
    program does not start.
    """
    started, live = time.monotonic(), sys.stdout.isatty()
    if not live:
        say(f"  {what} ...")
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment_of_children(env),
            cwd=cwd,
        )
    except OSError as error:
        raise CommandFailed(f"{what} failed: {command[0]} does not start ({error.strerror}).", str(error)) from error
    output, told, told_text = _Output(process.stdout, log), started, ""
    try:
        while process.poll() is None:
            time.sleep(0.1)
            now = time.monotonic()
            if live:
                line = f"  {what} ... {output.shown} ({now - started:.0f} s)"
                width = _width()
                print(f"\r{line[:width]:<{width}}", end="", flush=True)
            elif now - told > 15 and output.shown != told_text:
                told, told_text = now, output.shown
                say(f"    {output.shown} ({now - started:.0f} s)")
    except BaseException:
        process.terminate()
        process.wait()
        say("")
        raise
    output.join()
    seconds = time.monotonic() - started
    tail = "\n".join(output.tail)
    if process.returncode != 0:
        say("\r" * live + f"  {what}: failed after {seconds:.0f} s".ljust(_width() * live))
        place = f" (the whole output is in {log})" if log else ""
        raise CommandFailed(f"{what} failed{place}.", tail)
    say("\r" * live + f"  {what}: done in {seconds:.0f} s".ljust(_width() * live))
    return tail


def try_run(command: Sequence[str | Path], timeout: float = 60, **options) -> str | None:
    """A program's output, or None where it cannot be started, fails or takes over `timeout` seconds."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            env=environment_of_children(),
            **options,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
