"""Running tasks in processes: one torch thread each, results as they come, dead processes noticed."""

import multiprocessing
import queue
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from inference_server.errors import UserError
from inference_server.parent import worker_pool

from .methods import make_method
from .objects import Method, ObjectResult, SceneTrial, given_until_done
from .plan import Task, load
from .settings import Settings
from .store import save_mask

LATEST = 120.0
"""Seconds in which a result has come after its task ended, however busy the machine is."""

_worker: dict = {}
"""State of a worker process: its method, settings, folder, result queue and the stop signal."""


def run_tasks(tasks: list[Task], settings: Settings, folder: Path | None, jobs: int) -> Iterator[ObjectResult]:
    """Results of all tasks in the order in which they get done; masks go to `folder` if there is one.

    Raises UserError for what a method refuses, and where a process dies (most often for want of memory).
    """
    if jobs == 1:
        import torch

        torch.set_num_threads(1)
        method = make_method(settings)
        for task in tasks:
            yield from run_task(task, method, settings, folder)
        return
    context = multiprocessing.get_context("spawn")
    results, stop = context.Queue(), context.Event()
    try:
        way_out = "run it again with fewer --jobs; with --out it goes on where it stopped"
        with worker_pool(jobs, "objects", _start_worker, (settings, folder, results, stop), way_out) as pool:
            try:
                pending = {pool.submit(_work, task) for task in tasks}
                under_way = 0
                while pending:
                    done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                    for result in _arrived(results):
                        under_way -= 1
                        yield result
                    under_way += sum(future.result() for future in done)
                # a process hands its results to a thread, which may be later than the end of the task
                for _ in range(under_way):
                    yield results.get(timeout=LATEST)
            except BrokenProcessPool:
                yield from _arrived(results)
                raise
            finally:
                stop.set()
    except queue.Empty:
        raise UserError(
            "Results of a worker process did not arrive: run it again; with --out it goes on where it stopped."
        ) from None


def run_task(task: Task, method: Method, settings: Settings, folder: Path | None) -> Iterator[ObjectResult]:
    """Results of one task, with the scene loaded and prepared once."""
    scan = load(task.source, settings)
    trial = SceneTrial(method, scan, settings.voxel_size, settings.crop, settings.cube_override)
    others = []
    for identity, class_name in task.objects:
        result = trial.run(identity, settings.clicks, class_name, others)
        if settings.other_clicks:
            others += given_until_done(result)
        if folder is not None:
            save_mask(folder, result)
        yield result


def _start_worker(settings: Settings, folder: Path | None, results: object, stop: object) -> None:
    import torch

    torch.set_num_threads(1)
    _worker.update(settings=settings, folder=folder, results=results, stop=stop, method=None)


def _work(task: Task) -> int:
    """How many results were put into the queue."""
    count = 0
    if _worker["method"] is None:  # here, not in the initializer: there an error only breaks the pool
        _worker["method"] = make_method(_worker["settings"])
    for result in run_task(task, _worker["method"], _worker["settings"], _worker["folder"]):
        result.mask = None
        _worker["results"].put(result)
        count += 1
        if _worker["stop"].is_set():
            break
    return count


def _arrived(results: object) -> Iterator[ObjectResult]:
    while True:
        try:
            yield results.get_nowait()
        except queue.Empty:
            return
