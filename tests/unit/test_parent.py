"""A worker process does not outlive the one that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inference_server.errors import UserError
from inference_server.parent import worker_pool

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


INTERRUPTED = """
import multiprocessing, os, signal, threading, time
from concurrent.futures import ProcessPoolExecutor
from inference_server.parent import shut_down

def ignore():
    signal.signal(signal.SIGINT, signal.SIG_IGN)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), ignore)
    pool.submit(time.sleep, 0).result()
    under_way = pool.submit(time.sleep, 600)
    while not under_way.running():
        time.sleep(0.01)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        shut_down(pool)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


CTRL_C = """
import os, signal, time
from inference_server.parent import worker_pool

def work(seconds):
    print("begun", flush=True)
    time.sleep(seconds)
    print("done", flush=True)

if __name__ == "__main__":
    with worker_pool(1, "naps") as pool:
        jobs = [pool.submit(work, 1.0) for _ in range(9)]
        jobs[0].result()
        while True:
            time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_lets_workers_finish_what_is_under_way_and_says_so(tmp_path):
    script = tmp_path / "naps.py"
    script.write_text(CTRL_C)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    naps = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True, **pipes)
    assert [naps.stdout.readline() for _ in range(3)] == ["begun\n", "done\n", "begun\n"]
    os.killpg(naps.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    said, errors = naps.communicate(timeout=60)
    assert "done" in said and said.count("begun") < 3
    assert "Finishing the naps under way; Ctrl+C again stops at once." in errors
    assert errors.count("KeyboardInterrupt") == 1, "a worker was interrupted"


def test_a_worker_that_dies_is_a_sentence_with_the_way_out():
    says = pytest.raises(UserError, match=r"died, most likely for want of memory: use fewer\.")
    with says, worker_pool(1, "naps", way_out="use fewer") as pool:
        pool.submit(os._exit, 9).result()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_pool_that_is_interrupted_while_it_finishes_ends_at_once(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "interrupted\n" and done.returncode == 0, done.stderr


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
