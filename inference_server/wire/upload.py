"""A scene on the client's side: its arrays, its hash, and how much of it the server has."""

import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from enum import Enum
from functools import partial

import numpy as np

from .protocol import CHUNK_POINTS, ErrorCode
from .requests import Chunk
from .scene_hash import THREADS, SceneHasher

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
    threads: that hash them.
    """

    def __init__(self, key: str, positions: np.ndarray, colors: np.ndarray | None, threads: Executor):
        self.keys = {key}
        self.positions = positions
        self.colors = colors
        self.hash: str | None = None
        self.stage = Stage.HASHING
        self.request = 0
        self.retry_at = 0.0
        self.wanted = True
        self.failure: tuple[ErrorCode, str] | None = None
        self.waits = ""
        """Why the server does not take it now; it is asked again by itself."""
        self._hasher = SceneHasher(len(positions), colors is not None, threads)
        self._sent = 0
        self._received = 0
        for index in range(self.chunks):
            self._hasher.add(partial(self._part, index))

    @property
    def chunks(self) -> int:
        return -(-len(self.positions) // CHUNK_POINTS)

    @property
    def fraction(self) -> float:
        if self.stage is Stage.READY:
            return 1.0
        return min(self._received / self.chunks, 0.999) if self.stage is Stage.UPLOADING else 0.0

    def look_for_hash(self) -> bool:
        """True once the hash is known."""
        if not self._hasher.done:
            return False
        self.hash = self._hasher.hexdigest()
        self.stage = Stage.UNASKED
        return True

    def drop(self) -> None:
        """Nobody wants it any more."""
        self._hasher.cancel()

    def begin(self, next_chunk: int) -> None:
        """The server wants the scene from this chunk on."""
        self.stage = Stage.UPLOADING
        self.waits = ""
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
            self.retry_at, self.waits = 0.0, ""

    def wait(self, seconds: float, why: str) -> None:
        """The server has no room now; ask it again later."""
        self.forget()
        self.retry_at, self.waits = time.monotonic() + seconds, why

    def fail(self, code: ErrorCode, sentence: str) -> None:
        self.stage = Stage.FAILED
        self.failure = (code, sentence)

    def _part(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        part = slice(index * CHUNK_POINTS, (index + 1) * CHUNK_POINTS)
        return self.positions[part], None if self.colors is None else self.colors[part]


class Uploads:
    """The scenes of one client. Scenes with the same content become one as soon as their hashes are known."""

    def __init__(self):
        self._uploads: list[Upload] = []
        self._last: Upload | None = None
        self._threads = ThreadPoolExecutor(THREADS, "scanpick-hash")

    def __iter__(self) -> Iterator[Upload]:
        return iter(self._uploads)

    def add(self, key: str, positions: np.ndarray, colors: np.ndarray | None) -> None:
        """Begin with a scene; arrays as in Upload."""
        self._last = Upload(key, positions, colors, self._threads)
        self._uploads.append(self._last)

    def use(self, key: str) -> Upload:
        """The scene of a key, now the one that is worked on. Raises KeyError for one that was dropped."""
        self._last = self.find(key)
        self._last.wanted = True
        if self._last.stage is Stage.FAILED:
            # what refused it may be gone: the server has room again, or other limits
            self._last.forget()
        return self._last

    def find(self, key: str) -> Upload:
        """The scene of a key. Raises KeyError for one that was dropped."""
        for upload in self._uploads:
            if key in upload.keys:
                return upload
        raise KeyError(key)

    def of_request(self, request: int) -> Upload | None:
        """The scene that is on its way under this request id."""
        for upload in self._uploads:
            if upload.request == request and upload.stage in (Stage.ASKED, Stage.UPLOADING):
                return upload
        return None

    def drop(self, key: str) -> Upload | None:
        """Forget a key; returns the scene where that was its last one. Raises KeyError for one that was
        dropped."""
        upload = self.find(key)
        upload.keys.discard(key)
        if upload.keys:
            return None
        upload.drop()
        self._uploads.remove(upload)
        if self._last is upload:
            self._last = None
        return upload

    def close(self) -> None:
        """Hash no more."""
        self._threads.shutdown(cancel_futures=True)

    def forget(self, needed: set[str]) -> None:
        """The connection is gone. Only the scene that is worked on and those of `needed` keys are sent again
        at once."""
        for upload in self._uploads:
            if upload.stage is Stage.READY:
                upload.wanted = upload is self._last or bool(upload.keys & needed)
            upload.forget()

    @property
    def hashing(self) -> bool:
        return any(upload.stage is Stage.HASHING for upload in self._uploads)

    def look_for_hashes(self) -> list[tuple[Upload, set[str]]]:
        """Take what has been hashed. Returns scenes that turned out to be known already, with the keys that are new
        for them."""
        merged = []
        for upload in [upload for upload in self._uploads if upload.stage is Stage.HASHING]:
            if not upload.look_for_hash():
                break
            twin = next((other for other in self._uploads if other.hash == upload.hash), upload)
            if twin is not upload:
                self._uploads.remove(upload)
                twin.keys |= upload.keys
                twin.wanted = True
                if twin.stage is Stage.FAILED:
                    twin.forget()
                if self._last is upload:
                    self._last = twin
                merged.append((twin, upload.keys))
        return merged
