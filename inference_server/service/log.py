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


def default_log_file() -> Path:
    return config_folder() / "logs" / "server.log"


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
                self._handler = logging.handlers.RotatingFileHandler(
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
