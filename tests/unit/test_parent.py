"""A worker process does not outlive the one that started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
STARTER = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from inference_server.parent import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("{method}"), initializer=end_with_parent) as pool:
        jobs = [pool.submit(time.sleep, 0.3) for _ in range(2)]
        print(*[process.pid for process in pool._processes.values()], flush=True)
        [job.result() for job in jobs]
        pool.submit(time.sleep, 600).result()
"""


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes as Linux shows them")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_of_a_killed_process_end(tmp_path, method):
    script = tmp_path / "starter.py"
    script.write_text(STARTER.replace("{method}", method))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    starter = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    workers = [int(number) for number in starter.stdout.readline().split()]
    time.sleep(1.0)
    assert len(workers) == 2 and all(map(is_running, workers))
    starter.kill()
    starter.wait()
    deadline = time.monotonic() + 15
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, workers
        time.sleep(0.05)
