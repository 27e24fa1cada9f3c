"""The half of `benchmark read` that runs in Blender: the first read of a scan, in the main thread.

python inside_read.py SCAN.npz ZIP OUT.json
"""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import bpy  # first: in a bpy wheel it makes mathutils importable

sys.path.insert(0, str(Path(__file__).parent))
from inside_blender import Clock, install, module, open_scan

PROCESS = Path("/proc/self")  # Linux


def main(scan: str, zip_file: str) -> dict:
    install(zip_file, "tcp://127.0.0.1:47600")  # which is not asked
    obj = open_scan(scan)
    geometry = module("scan.geometry").Geometry(obj)
    clock = Clock()
    forget_peak()
    before = memory("VmRSS")
    told = [time.perf_counter()]
    with clock.piece():
        found = module("scan.scan").read(
            geometry, bpy.context.scene, None, 0.0, tell=lambda share: told.append(time.perf_counter())
        )
    told.append(time.perf_counter())
    return {
        "blender": bpy.app.version_string,
        "points": found.count,
        "wall": clock.wall[0],
        "processor": clock.processor[0],
        "told": len(told) - 2,
        "longest silence": max(later - earlier for earlier, later in pairwise(told)),
        "bytes": {"before": before, "peak": memory("VmHWM") - before, "kept": memory("VmRSS") - before},
    }


def forget_peak() -> None:
    """Have the kernel's record of the process's peak memory begin anew."""
    (PROCESS / "clear_refs").write_text("5")


def memory(what: str) -> int:
    """Bytes of the process: VmRSS now, VmHWM at most."""
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    *arguments, out = sys.argv[-3:]
    Path(out).write_text(json.dumps(main(*arguments)))
