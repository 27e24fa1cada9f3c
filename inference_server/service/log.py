"""The service's log: one JSON object per line, in files that rotate; never geometry, never names of
objects."""

import contextlib
import json
import logging
import logging.handlers
import time
from pathlib import Path

from ..wire.location import config_folder

FILE_BYTES, FILES = 5_000_000, 5
RETRY = 60.0
"""Seconds until files that could not be rotated are tried again."""


def default_log_file() -> Path:
    return config_folder() / "logs" / "server.log"


class RotatingFile(logging.handlers.RotatingFileHandler):
    """Files that rotate where the system lets them.

    On Windows a file that another process has open can't be renamed: lines go on into it, the older files stay where
    they are, and the next try is a while off.
    """

    _retry_at = 0.0

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the file is full, and its last rotation didn't just fail."""
        return time.monotonic() >= self._retry_at and super().shouldRollover(record)

    def doRollover(self) -> None:
        """Rotate: the newest file first, then the older ones up to a gap, so that none is lost for nothing."""
        stream, self.stream = self.stream, None  # the next line opens it again
        if stream is not None:
            with contextlib.suppress(OSError):  # a full disk
                stream.close()
        newest = Path(self.baseFilename)
        # the first is the newest one's on its way
        files = [Path(f"{newest}.{number}") for number in range(self.backupCount + 1)]
        try:
            if not files[0].exists():  # else a rotation was cut off, and that one goes on first
                newest.replace(files[0])
            free = next((number for number, file in enumerate(files) if not file.exists()), self.backupCount)
            for number in range(free, 0, -1):
                files[number - 1].replace(files[number])
        except OSError:
            self._retry_at = time.monotonic() + RETRY
            with contextlib.suppress(OSError):
                if not newest.exists():
                    files[0].replace(newest)


class ServiceLog:
    """Writes events to a file. A log that can't be written never stops the service."""

    def __init__(self, file: Path | None):
        self._logger = logging.getLogger(f"scanpick.{id(self)}")
        self._logger.propagate = False
        self._logger.setLevel(logging.INFO)
        self._handler: logging.Handler = logging.NullHandler()
        if file is not None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._handler = RotatingFile(
                    file, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True
                )
            except OSError:
                self._handler = logging.NullHandler()
        # A full disk must not print tracebacks over the user's screen.
        self._handler.handleError = lambda record: None
        self._logger.addHandler(self._handler)

    def write(self, event: str, **facts: object) -> None:
        """Add one line: the time, the event, and whatever facts (JSON values) belong to it."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}
        self._logger.info(json.dumps(line, separators=(",", ":"), default=str))

    def close(self) -> None:
        self._logger.removeHandler(self._handler)
        with contextlib.suppress(OSError):
            # what a full disk did not take
            self._handler.close()
