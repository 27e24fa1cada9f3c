"""What a service may be told, with the limits that keep one client from taking it all."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..wire.protocol import DEFAULT_ADDRESS
from .machine import machine_memory

BYTES_PER_POINT = 48
"""Memory that a resident scan is counted with: its arrays (15) and what the predictor sorts out of them."""
CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux tells a container's limit, newer systems and older ones."""
SMALLEST_MEMORY, LARGEST_MEMORY = 2**30, 16 * 2**30


def default_memory() -> int:
    """Bytes for scenes: a third of the machine's or the container's memory, between 1 and 16 GB; 4 GB where the system
    doesn't tell."""
    total = machine_memory() or 12 * 2**30
    for limit in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # "max" where there is none
            total = min(total, int(limit.read_text()))
    return min(max(total // 3, SMALLEST_MEMORY), LARGEST_MEMORY)


@dataclass(frozen=True)
class Settings:
    """A service's settings.

    predictor: 'module:class' that workers make; workers: one table of its keyword arguments per worker
    process.
    threads: torch threads of a worker, None for torch's own choice. keys: folder of CURVE keys or None.
    upload_silence, upload_pause: without a chunk, until a half-sent scene is forgotten, and until it may have to make
    room. scene_pause: until a whole scene may have to: a client asks about one as soon as it has arrived.
    figures_file: where the state is written for monitoring, in Prometheus' text format, or None.
    Times are in seconds, memory in bytes.
    """

    address: str = DEFAULT_ADDRESS
    predictor: str = "inference_server.predictor:Predictor"
    workers: tuple[dict, ...] = ({},)
    threads: int | None = None
    keys: Path | None = None
    log_file: Path | None = None
    figures_file: Path | None = None
    figures_every: float = 15.0
    points: int = 50_000_000
    clicks: int = 10_000
    clients: int = 64
    scenes_per_client: int = 64
    uploads_per_client: int = 4
    queue_per_client: int = 32
    requests_per_second: float = 100.0
    memory: int = field(default_factory=default_memory)
    worker_silence: float = 10.0
    worker_start: float = 180.0
    job_seconds: float = 180.0
    job_tries: int = 3
    client_silence: float = 60.0
    upload_silence: float = 300.0
    upload_pause: float = 5.0
    scene_pause: float = 1.0
    stop_seconds: float = 10.0
    idle_exit: float | None = None

    @property
    def limits(self) -> dict[str, int]:
        """The limits that clients are told."""
        return {
            "points": self.points,
            "clicks": self.clicks,
            "scenes_per_client": self.scenes_per_client,
            "uploads_per_client": self.uploads_per_client,
            "queue_per_client": self.queue_per_client,
            "memory_bytes": self.memory,
        }
