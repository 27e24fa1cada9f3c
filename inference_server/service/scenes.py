"""Scenes in shared memory: written chunk by chunk by the service, read by its workers, dropped least recently
used."""

import time
from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.shared_memory import SharedMemory

from ..wire.protocol import CHUNK_POINTS, ErrorCode, ProtocolError
from ..wire.requests import Chunk, PutScene
from ..wire.scene_hash import THREADS, ChunkArrays, SceneHasher
from .handles import most_scenes
from .settings import BYTES_PER_POINT, Settings
from .shared import array_bytes, shared_memory_left, write_chunk

MOST_BEHIND = 8
"""Chunks that have come and are not in their place yet; bounds their memory, and the wait for the last of them."""


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
    def arrived(self) -> int:
        """Bytes of its memory that are in use."""
        return self.memory.size * self.next_chunk // self.chunks

    @property
    def cost(self) -> int:
        """Bytes that it is counted with."""
        return self.points * BYTES_PER_POINT

    def place(self, chunk: Chunk) -> ChunkArrays:
        """Write a chunk where it belongs; its arrays."""
        write_chunk(self.memory, self.points, chunk.index * CHUNK_POINTS, chunk.positions, chunk.colors)
        return chunk.positions, chunk.colors


class SceneStore:
    """All scenes of a service: the whole ones by hash, those on their way by client and hash.

    A client's half-sent scene is its own, so that nobody can spoil another's upload.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._most = most_scenes()
        self._threads = ThreadPoolExecutor(THREADS, "scanpick-hash")
        self.whole: dict[str, StoredScene] = {}
        self.partial: dict[tuple[str, str], StoredScene] = {}
        self.dropped: list[str] = []
        """Hashes of whole scenes that were let go; whoever tells the workers empties it."""

    @property
    def bytes_used(self) -> int:
        return sum(scene.cost for scene in self._all())

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
            upload = self._make_room(put, self._may_go(pinned))
            self.partial[key] = upload
        upload.owner, upload.upload_id, upload.used = client, upload_id, time.monotonic()
        return upload

    def write(self, upload: StoredScene, chunk: Chunk) -> bool:
        """Take the next chunk; True when the scene is whole.

        Raises ProtocolError: bad_request for a chunk of another size, or where the content is not that of the
        hash; too_large where the machine's memory is full.
        """
        start = chunk.index * CHUNK_POINTS
        stop = min(start + CHUNK_POINTS, upload.points)
        if len(chunk.positions) != stop - start or (chunk.colors is not None) != upload.has_colors:
            raise ProtocolError(ErrorCode.BAD_REQUEST, "A chunk has another size than the scene announced.")
        upload.hasher.add(partial(upload.place, chunk))
        upload.next_chunk += 1
        upload.used = time.monotonic()
        whole = upload.next_chunk == upload.chunks
        try:
            upload.hasher.catch_up(0 if whole else MOST_BEHIND)
        except OSError:
            raise ProtocolError(ErrorCode.TOO_LARGE, _SHARED_MEMORY_FULL) from None
        if not whole:
            return False
        arrived, upload.hasher = upload.hasher.hexdigest(), None
        del self.partial[upload.owner, upload.hash]
        if arrived != upload.hash:
            self._release(upload)
            raise ProtocolError(ErrorCode.BAD_REQUEST, "The scan that arrived is not the one announced; send it again.")
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
        for scene in self._all():
            self._release(scene)
        self.whole.clear()
        self.partial.clear()
        self._threads.shutdown(cancel_futures=True)

    def _all(self) -> list[StoredScene]:
        return [*self.whole.values(), *self.partial.values()]

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

    def _may_go(self, pinned: Set[str]) -> list[StoredScene]:
        """Scenes that may make room, in the order in which they go.

        What is half-sent and silent can be sent again; what is whole spared somebody an upload.
        """
        now = time.monotonic()
        idle = [upload for upload in self.partial.values() if now - upload.used > self._settings.upload_pause]
        whole = [s for s in self.whole.values() if s.hash not in pinned and now - s.used > self._settings.scene_pause]
        return [*sorted(idle, key=lambda scene: scene.used), *sorted(whole, key=lambda scene: scene.used)]

    def _make_room(self, put: PutScene, may_go: list[StoredScene]) -> StoredScene:
        """The place for a new scene. Older ones go where that is of use, and none where it is not."""
        cost, size = put.points * BYTES_PER_POINT, array_bytes(put.points, put.has_colors)
        if self._memory_left() + sum(scene.memory.size for scene in self._all()) < size:
            raise ProtocolError(ErrorCode.TOO_LARGE, _SHARED_MEMORY_FULL)
        too_much = self.bytes_used + cost - sum(scene.cost for scene in may_go) > self._settings.memory
        if too_much or self._memory_left() + sum(scene.memory.size for scene in may_go) < size:
            raise ProtocolError(ErrorCode.BUSY, "The server's memory is full of scans in use; this one waits.")
        while True:
            fits = self.bytes_used + cost <= self._settings.memory and self._memory_left() >= size
            if fits and len(self._all()) < self._most:
                try:
                    return self._allocate(put, size)
                except OSError as error:
                    refusal = f"The server's system has no room for this scan ({error.strerror}); it waits."
            else:
                refusal = "The server has as many scans as it can, all in use; this one waits."
            if not may_go:
                raise ProtocolError(ErrorCode.BUSY, refusal)
            self._drop(may_go.pop(0))

    def _memory_left(self) -> int:
        """Bytes of shared memory that are left when what is half-sent has come."""
        return shared_memory_left() - sum(scene.memory.size - scene.arrived for scene in self.partial.values())

    def _drop(self, scene: StoredScene) -> None:
        """Let a scene go, whole or half-sent."""
        if self.partial.get((scene.owner, scene.hash)) is scene:
            del self.partial[scene.owner, scene.hash]
        else:
            self.whole.pop(scene.hash)
            self.dropped.append(scene.hash)
        self._release(scene)

    def _allocate(self, put: PutScene, size: int) -> StoredScene:
        """Raises OSError where the system has no memory, or no handle, for it."""
        memory = SharedMemory(create=True, size=size)
        hasher = SceneHasher(put.points, put.has_colors, self._threads)
        return StoredScene(put.scene, put.points, put.has_colors, memory, hasher=hasher)

    def _release(self, scene: StoredScene) -> None:
        if scene.hasher is not None:
            scene.hasher.cancel()
        scene.memory.close()
        scene.memory.unlink()


_SHARED_MEMORY_FULL = (
    "The server's machine has no shared memory left for this scan: thin it, or give the machine more "
    "(in Docker: --shm-size)."
)
