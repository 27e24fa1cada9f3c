"""A scene on the client's side: its arrays, its hash, and how much of it the server has."""

import time
from enum import Enum

import numpy as np

from .protocol import CHUNK_POINTS, ErrorCode, SceneHasher
from .requests import Chunk

WINDOW_CHUNKS = 24
"""Chunks on their way and not yet acknowledged: 23 MB of points with colours."""


class Stage(Enum):
    """How far a scene is on its way to the server."""

    HASHING = 0
    UNASKED = 1
    ASKED = 2
    UPLOADING = 3
    READY = 4
    FAILED = 5


class Upload:
    """One scene's content. Several keys of the user's may stand for the same content.

    positions: float32 (N, 3); colors: uint8 (N, 3) or None. They are kept, not copied: don't write to them.
    """

    def __init__(self, key: str, positions: np.ndarray, colors: np.ndarray | None):
        self.keys = {key}
        self.positions = positions
        self.colors = colors
        self.hash: str | None = None
        self.stage = Stage.HASHING
        self.request = 0
        self.retry_at = 0.0
        self.wanted = True
        self.failure: tuple[ErrorCode, str] | None = None
        self._hasher = SceneHasher(len(positions), colors is not None)
        self._hashed = 0
        self._sent = 0
        self._received = 0

    @property
    def chunks(self) -> int:
        return -(-len(self.positions) // CHUNK_POINTS)

    @property
    def fraction(self) -> float:
        if self.stage is Stage.READY:
            return 1.0
        return min(self._received / self.chunks, 0.999) if self.stage is Stage.UPLOADING else 0.0

    def hash_until(self, deadline: float) -> bool:
        """Hash on until the deadline (of time.perf_counter); True when the hash is known."""
        while self._hashed < self.chunks:
            self._hasher.update(*self._part(self._hashed))
            self._hashed += 1
            if time.perf_counter() >= deadline and self._hashed < self.chunks:
                return False
        self.hash = self._hasher.hexdigest()
        self.stage = Stage.UNASKED
        return True

    def begin(self, next_chunk: int) -> None:
        """The server wants the scene from this chunk on."""
        self.stage = Stage.UPLOADING
        self._sent = self._received = next_chunk

    def acknowledge(self, next_chunk: int) -> None:
        """The server has everything before this chunk."""
        self._received = next_chunk

    def next_chunk(self) -> Chunk | None:
        """The chunk that is due, or None while the window is full or everything is sent."""
        if self._sent >= self.chunks or self._sent - self._received >= WINDOW_CHUNKS:
            return None
        return Chunk(self.hash, self._sent, *self._part(self._sent))

    def sent_chunk(self) -> None:
        self._sent += 1

    def forget(self) -> None:
        """The connection to the server that was asked is gone, or it dropped the scene."""
        if self.stage is not Stage.HASHING:
            self.stage = Stage.UNASKED
            self.failure = None
            self.retry_at = 0.0

    def fail(self, code: ErrorCode, sentence: str) -> None:
        self.stage = Stage.FAILED
        self.failure = (code, sentence)

    def _part(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        part = slice(index * CHUNK_POINTS, (index + 1) * CHUNK_POINTS)
        return self.positions[part], None if self.colors is None else self.colors[part]
