"""The whole state of a service as plain values: what `status` shows and what monitoring scrapes."""

import time
from typing import TYPE_CHECKING, Any

from .. import __version__
from .worker import memory_in_use

if TYPE_CHECKING:
    from .loop import Service

PREFIX = "scanpick"
MOST_SCENES = 100
"""That are told one by one: a header holds only so much, and a server thousands of small scans."""


def state_of(service: "Service") -> dict[str, Any]:
    """Workers, clients, scenes used last, memory in bytes, queue, counts, and seconds by stage; JSON values only."""
    now = time.monotonic()
    workers = [
        {
            "name": worker.name.decode(),
            "state": "busy" if worker.job else "idle" if worker.ready else "starting",
            "device": worker.facts.get("device", ""),
            "memory": worker.facts.get("memory", 0),
            "process": worker.process.pid,
        }
        for worker in service.workers
    ]
    clients = [
        {
            "client": client.label,
            "waiting": len(client.queue),
            "running": len(client.running),
            "scenes": len(client.scenes),
            "silent": round(now - client.heard, 1),
        }
        for client in service.sessions
    ]
    kept = service.scenes.whole
    scenes = [
        {
            "scene": scene.hash[:8],
            "points": scene.points,
            "bytes": scene.cost,
            "idle": round(now - scene.used, 1),
        }
        for scene in sorted(kept.values(), key=lambda scene: scene.used, reverse=True)[:MOST_SCENES]
    ]
    info = service.info()
    return {
        "version": __version__,
        "address": service.settings.address,
        "uptime": round(now - service.started, 1),
        "stopping": service.stopping,
        "ready": info.ready,
        "model": info.model,
        "device": info.device,
        "engine": info.engine,
        "limits": info.limits,
        "workers": workers,
        "workers_replaced": service.workers.restarts,
        "clients": clients,
        "scenes": scenes,
        "scenes_kept": len(kept),
        "uploads": len(service.scenes.partial),
        "memory": {"scenes": service.scenes.bytes_used, "service": memory_in_use()},
        "waiting": sum(len(client.queue) for client in service.sessions),
        "counts": dict(service.figures.counts),
        "seconds": service.figures.summary(),
    }


def exposition(state: dict[str, Any]) -> str:
    """A state in Prometheus' text format, version 0.0.4."""
    lines = []

    def add(name: str, kind: str, text: str, samples: list[tuple[str, dict[str, object], float]]) -> None:
        lines.extend([f"# HELP {PREFIX}_{name} {text}", f"# TYPE {PREFIX}_{name} {kind}"])
        for suffix, labels, value in samples:
            inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
            lines.append(f"{PREFIX}_{name}{suffix}{f'{{{inside}}}' if inside else ''} {float(value):.17g}")

    def gauge(name: str, text: str, value: float) -> None:
        add(name, "gauge", text, [("", {}, value)])

    about = {key: state[key] for key in ("version", "model", "device", "engine")}
    add("info", "gauge", "What runs; always 1.", [("", about, 1)])
    gauge("uptime_seconds", "Seconds since the start.", state["uptime"])
    gauge("ready", "1 where a worker has its model loaded.", state["ready"])
    gauge("clients", "Clients connected.", len(state["clients"]))
    gauge("requests_waiting", "Requests in the queue.", state["waiting"])
    gauge("uploads", "Scans on their way.", state["uploads"])
    gauge("scenes", "Scans kept.", state["scenes_kept"])
    gauge("scene_bytes", "Memory counted for scans.", state["memory"]["scenes"])
    gauge("scene_bytes_limit", "Memory that scans may take.", state["limits"]["memory_bytes"])
    memory = [("", {"process": "service"}, state["memory"]["service"])]
    memory += [("", {"process": worker["name"]}, worker["memory"]) for worker in state["workers"]]
    add("memory_bytes", "gauge", "Memory of the processes.", memory)
    workers = [
        ("", {"worker": worker["name"], "device": worker["device"], "state": worker["state"]}, 1)
        for worker in state["workers"]
    ]
    add("worker", "gauge", "A worker and what it does; always 1.", workers)
    replaced = [("", {}, state["workers_replaced"])]
    add("workers_replaced_total", "counter", "Workers that died or hung and were replaced.", replaced)
    outcomes = [("", {"outcome": what}, number) for what, number in sorted(state["counts"].items())]
    add("outcomes_total", "counter", "Masks, and errors by their code.", outcomes)
    stages = []
    for stage, figures in sorted(state["seconds"].items()):
        stages += [("", {"stage": stage, "quantile": q}, figures[key]) for q, key in (("0.5", "p50"), ("0.95", "p95"))]
        stages += [("_sum", {"stage": stage}, figures["sum"]), ("_count", {"stage": stage}, figures["count"])]
    add("stage_seconds", "summary", "Time of answered clicks by stage; quantiles of the last few hundred.", stages)
    return "\n".join(lines) + "\n"


def _escaped(label: object) -> str:
    return str(label).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
