"""A scene's hash: the same whoever works it out and how, and another one for any other content."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from blake3 import blake3

from inference_server.wire.protocol import CHUNK_POINTS
from inference_server.wire.scene_hash import SceneHasher, scene_hash


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def a_scene() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    points = 2 * CHUNK_POINTS + 17
    return rng.normal(size=(points, 3)).astype(np.float32), rng.integers(0, 255, (points, 3), np.uint8)


def hash_in_chunks(threads: ThreadPoolExecutor, content: np.ndarray, colors: np.ndarray | None) -> SceneHasher:
    hasher = SceneHasher(len(content), colors is not None, threads)
    for start in range(0, len(content), CHUNK_POINTS):
        part = slice(start, start + CHUNK_POINTS)
        hasher.add(partial(lambda part: (content[part], None if colors is None else colors[part]), part))
    return hasher


def test_hashing_in_chunks_is_hashing_at_once(threads):
    content, colors = a_scene()
    assert hash_in_chunks(threads, content, colors).hexdigest() == scene_hash(content, colors)
    assert hash_in_chunks(threads, content, None).hexdigest() == scene_hash(content)


def test_it_is_what_the_protocol_says():
    content, colors = a_scene()
    blocks = b""
    for start in range(0, len(content), 65_536):
        part = slice(start, start + 65_536)
        blocks += blake3(content[part].tobytes() + colors[part].tobytes()).digest()
    head = b"scanpick scene 3" + len(content).to_bytes(8, "little") + b"\1"
    assert scene_hash(content, colors) == blake3(head + blocks).hexdigest()


def test_every_change_shows():
    content, colors = a_scene()
    known = {scene_hash(content, colors), scene_hash(content), scene_hash(content[:-1], colors[:-1])}
    for array in (content, colors):
        changed = array.copy()
        changed[-1, 2] += 1
        known.add(scene_hash(*((changed, colors) if array is content else (content, changed))))
    for swapped_rows in ([0, 1], [0, CHUNK_POINTS]):
        swapped = content.copy()
        swapped[swapped_rows] = swapped[swapped_rows[::-1]]
        known.add(scene_hash(swapped, colors))
    assert len(known) == 7


def test_the_memory_layout_does_not_matter():
    content, colors = a_scene()
    assert scene_hash(np.asfortranarray(content), colors) == scene_hash(content, colors)


def test_one_can_wait_until_few_chunks_are_left(threads):
    hasher = hash_in_chunks(threads, *a_scene())
    hasher.catch_up(1)
    assert sum(not digest.done() for digest in hasher._digests) <= 1
    hasher.catch_up()
    assert hasher.done


def test_what_goes_wrong_in_a_thread_is_heard_of(threads):
    def fail() -> tuple[np.ndarray, None]:
        raise OSError("full")

    hasher = SceneHasher(3, False, threads)
    hasher.add(fail)
    with pytest.raises(OSError, match="full"):
        hasher.catch_up()


def test_what_nobody_wants_is_not_hashed():
    started, go_on, read = threading.Event(), threading.Event(), []

    def slowly() -> tuple[np.ndarray, None]:
        read.append(started.set())
        go_on.wait(10)
        return np.zeros((1, 3), np.float32), None

    with ThreadPoolExecutor(1) as threads:
        hasher = SceneHasher(3, False, threads)
        for _ in range(3):
            hasher.add(slowly)
        started.wait(10)
        threading.Timer(0.2, go_on.set).start()
        hasher.cancel()
        assert go_on.is_set()
    assert len(read) == 1
