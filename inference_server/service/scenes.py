"""Scenes in shared memory: written chunk by chunk by the service, read by its workers, dropped least recently
used."""

import shutil
import sys
import time
from collections.abc import Set
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from ..wire.protocol import CHUNK_POINTS, ErrorCode, ProtocolError, SceneHasher
from ..wire.requests import Chunk, PutScene
from .settings import BYTES_PER_POINT, Settings
from .shared import array_bytes, scene_arrays

SHARED_FOLDER = Path("/dev/shm")
"""Where Linux keeps shared memory. Containers often give it 64 MB, and writing beyond kills the writer: look
first."""


@dataclass(eq=False)
class StoredScene:
    """A scene, whole or on its way. Its memory holds float32 (N, 3) positions, then uint8 (N, 3) colours if
    any."""

    hash: str
    points: int
    has_colors: bool
    memory: SharedMemory
    next_chunk: int = 0
    owner: str = ""
    upload_id: int = 0
    used: float = field(default_factory=time.monotonic)
    hasher: SceneHasher | None = None

    @property
    def chunks(self) -> int:
        return -(-self.points // CHUNK_POINTS)

    @property
    def cost(self) -> int:
        """Bytes that it is counted with."""
        return self.points * BYTES_PER_POINT


class SceneStore:
    """All scenes of a service: the whole ones by hash, those on their way by client and hash.

    A client's half-sent scene is its own, so that nobody can spoil another's upload.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self.whole: dict[str, StoredScene] = {}
        self.partial: dict[tuple[str, str], StoredScene] = {}
        self.dropped: list[str] = []
        """Hashes of whole scenes that were let go; whoever tells the workers empties it."""

    @property
    def bytes_used(self) -> int:
        return sum(scene.cost for scene in [*self.whole.values(), *self.partial.values()])

    def find(self, scene: str) -> StoredScene | None:
        """A whole scene, now used most recently."""
        found = self.whole.get(scene)
        if found is not None:
            found.used = time.monotonic()
        return found

    def begin(self, put: PutScene, client: str, upload_id: int, pinned: Set[str]) -> StoredScene:
        """The place for an upload: the one begun earlier, or a new one for which older scenes may have to go.

        pinned: hashes that must stay. Raises ProtocolError too_large or busy before anything is allocated.
        """
        key = (client, put.scene)
        upload = self.partial.get(key)
        if upload is not None and (upload.points, upload.has_colors) != (put.points, put.has_colors):
            self._release(self.partial.pop(key))
            upload = None
        if upload is None:
            self._check(put, client)
            self._make_room(put.points * BYTES_PER_POINT, pinned)
            upload = self._allocate(put)
            self.partial[key] = upload
        upload.owner, upload.upload_id, upload.used = client, upload_id, time.monotonic()
        return upload

    def write(self, upload: StoredScene, chunk: Chunk) -> bool:
        """Take the next chunk; True when the scene is whole.

        Raises ProtocolError: bad_request for a chunk of another size, or where the content is not that of the
        hash.
        """
        start = chunk.index * CHUNK_POINTS
        stop = min(start + CHUNK_POINTS, upload.points)
        if len(chunk.positions) != stop - start or (chunk.colors is not None) != upload.has_colors:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A chunk has another size than the scene announced.")
        if _shared_memory_left() < (stop - start) * 15:
            raise ProtocolError(ErrorCode.TOO_LARGE, _SHARED_MEMORY_FULL)
        positions, colors = scene_arrays(upload.memory, upload.points, upload.has_colors)
        positions[start:stop] = chunk.positions
        if colors is not None:
            colors[start:stop] = chunk.colors
        del positions, colors
        upload.hasher.update(chunk.positions, chunk.colors)
        upload.next_chunk += 1
        upload.used = time.monotonic()
        if upload.next_chunk < upload.chunks:
            return False
        del self.partial[upload.owner, upload.hash]
        if upload.hasher.hexdigest() != upload.hash:
            self._release(upload)
            raise ProtocolError(ErrorCode.BAD_REQUEST, "The scan that arrived is not the one announced; send it again.")
        upload.hasher = None
        if upload.hash in self.whole:
            self._release(upload)
        else:
            self.whole[upload.hash] = upload
        return True

    def abandon(self, client: str, scene: str) -> None:
        """Forget a half-sent scene."""
        upload = self.partial.pop((client, scene), None)
        if upload is not None:
            self._release(upload)

    def drop_silent(self, older_than: float) -> None:
        """Forget half-sent scenes of which nothing has come for so many seconds."""
        now = time.monotonic()
        for key, upload in list(self.partial.items()):
            if now - upload.used > older_than:
                self._release(self.partial.pop(key))

    def close(self) -> None:
        for scene in [*self.whole.values(), *self.partial.values()]:
            self._release(scene)
        self.whole.clear()
        self.partial.clear()

    def _check(self, put: PutScene, client: str) -> None:
        limit, memory = self._settings.points, self._settings.memory
        if put.points > limit:
            raise ProtocolError(
                ErrorCode.TOO_LARGE,
                f"The scan has {put.points:,} points and this server takes {limit:,}: thin or split it, or "
                "start the server with a larger --max-points.",
            )
        if put.points * BYTES_PER_POINT > memory:
            raise ProtocolError(
                ErrorCode.TOO_LARGE,
                f"The scan needs {put.points * BYTES_PER_POINT / 1e9:.1f} GB and this server has "
                f"{memory / 1e9:.1f} GB for scans: thin or split it, or start the server with a "
                "larger --memory.",
            )
        if sum(owner == client for owner, _ in self.partial) >= self._settings.uploads_per_client:
            raise ProtocolError(
                ErrorCode.BUSY,
                f"This client sends {self._settings.uploads_per_client} scans already; the next one waits.",
            )

    def _make_room(self, cost: int, pinned: Set[str]) -> None:
        while self.bytes_used + cost > self._settings.memory:
            # What is half-sent and silent can be sent again; what is whole spared somebody an upload.
            idle = [upload for upload in self.partial.values() if time.monotonic() - upload.used > 5]
            whole = [scene for scene in self.whole.values() if scene.hash not in pinned]
            if idle:
                oldest = min(idle, key=lambda upload: upload.used)
                self._release(self.partial.pop((oldest.owner, oldest.hash)))
            elif whole:
                self._drop(min(whole, key=lambda scene: scene.used))
            else:
                raise ProtocolError(ErrorCode.BUSY, "The server's memory is full of scans in use; this one waits.")

    def _drop(self, scene: StoredScene) -> None:
        self._release(self.whole.pop(scene.hash))
        self.dropped.append(scene.hash)

    def _allocate(self, put: PutScene) -> StoredScene:
        size = array_bytes(put.points, put.has_colors)
        try:
            if _shared_memory_left() < size:
                raise OSError
            memory = SharedMemory(create=True, size=size)
        except OSError:
            raise ProtocolError(ErrorCode.TOO_LARGE, _SHARED_MEMORY_FULL) from None
        hasher = SceneHasher(put.points, put.has_colors)
        return StoredScene(put.scene, put.points, put.has_colors, memory, hasher=hasher)

    def _release(self, scene: StoredScene) -> None:
        scene.memory.close()
        scene.memory.unlink()


_SHARED_MEMORY_FULL = (
    "The server's machine has no shared memory left for this scan: thin it, or give the machine more "
    "(in Docker: --shm-size)."
)


def _shared_memory_left() -> int:
    if sys.platform != "linux" or not SHARED_FOLDER.is_dir():
        return sys.maxsize
    return shutil.disk_usage(SHARED_FOLDER).free
