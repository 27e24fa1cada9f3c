"""A server that speaks the real protocol and answers with a ball around the positive clicks.

Its masks can be told beforehand to the vertex, which the tests of undo, pins and locks need. It runs in its own
process on a real socket:  python sphere_server.py ADDRESS [--delay SECONDS] [--version N] [--fail CODE]
A vertex belongs to the mask within 10 voxels of a positive click, unless a negative one is nearer; within 15 with
the option `adapt`.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from orphans import end_with_parent

from inference_server.wire.protocol import Message, Reply, Request, decode, encode
from inference_server.wire.requests import Chunk, Predict, PutScene, ServerInfo, error_message, mask_message

RADIUS_IN_VOXELS = 10


def distances(points: np.ndarray, clicks: list) -> np.ndarray:
    """Distance of every point to the nearest of the clicks; infinite without clicks."""
    nearest = np.full(len(points), np.inf)
    for click in clicks:
        nearest = np.minimum(nearest, np.linalg.norm(points - np.array(click.position), axis=1))
    return nearest


def answer(predict: Predict, points: np.ndarray, request: int) -> Message:
    inside = distances(points, [c for c in predict.clicks if c.positive])
    outside = distances(points, [c for c in predict.clicks if not c.positive])
    radius = RADIUS_IN_VOXELS * predict.voxel_size * (1.5 if predict.options.get("adapt") else 1)
    mask = (inside <= radius) & (inside < outside)
    probabilities = np.clip(255 - 127 * inside / radius, 0, 255)
    probabilities = np.where(mask, np.maximum(probabilities, 128), np.minimum(probabilities, 127)).astype(np.uint8)
    timing = {"network": 0.001, "server": 0.001}
    return mask_message(request, predict.scene, predict.object_id, mask, probabilities, timing)


class SphereServer:
    """One socket, one thread; predictions wait `delay` seconds and can be cancelled until then."""

    def __init__(self, address: str, delay: float, version: int | None, fail: str | None):
        self.socket = zmq.Context().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(address)
        self.delay, self.version, self.fail = delay, version, fail
        self.scenes: dict[str, np.ndarray] = {}
        self.parts: dict[str, tuple[PutScene, list[np.ndarray]]] = {}
        self.waiting: list[tuple[float, bytes, int, Predict]] = []
        self.instance = str(time.time())

    def send(self, client: bytes, message: Message) -> None:
        frames = encode(message)
        if self.version is not None:
            frames[0] = json.dumps({**json.loads(frames[0]), "version": self.version}).encode()
        self.socket.send_multipart([client, *frames])

    def run(self) -> None:
        while True:
            if self.socket.poll(5):
                client, *frames = self.socket.recv_multipart()
                self.handle(client, decode(frames))
            now = time.monotonic()
            for item in [w for w in self.waiting if w[0] <= now]:
                self.waiting.remove(item)
                _, client, request, predict = item
                if self.fail:
                    self.send(client, error_message(request, self.fail, f"The test's server fails: {self.fail}."))
                elif predict.scene not in self.scenes:
                    self.send(client, error_message(request, "unknown_scene", "Send the scene again."))
                else:
                    self.send(client, answer(predict, self.scenes[predict.scene], request))

    def handle(self, client: bytes, message: Message) -> None:
        match message.type:
            case Request.HELLO:
                info = ServerInfo("test", self.instance, True, "sphere", ("sphere",), "cpu", "none", {"points": 10**8})
                self.send(client, info.message(message.id))
            case Request.PUT_SCENE:
                put = PutScene.read(message)
                if put.scene not in self.scenes:
                    self.parts[put.scene] = (put, [])
                self.send_scene(client, message.id, put.scene, 0)
            case Request.CHUNK:
                chunk = Chunk.read(message)
                put, parts = self.parts[chunk.scene]
                parts.append(np.array(chunk.positions))
                if sum(map(len, parts)) == put.points:
                    self.scenes[chunk.scene] = np.concatenate(parts)
                self.send_scene(client, message.id, chunk.scene, chunk.index + 1)
            case Request.PREDICT:
                predict = Predict.read(message)
                self.waiting.append((time.monotonic() + self.delay, client, message.id, predict))
            case Request.CANCEL:
                self.waiting = [w for w in self.waiting if w[2] != message.id or w[1] != client]
            case Request.PING:
                self.send(client, Message(Reply.PONG, message.id))

    def send_scene(self, client: bytes, request: int, scene: str, following: int) -> None:
        args = {"scene": scene, "ready": scene in self.scenes, "next": following}
        self.send(client, Message(Reply.SCENE, request, args))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--version", type=int)
    parser.add_argument("--fail")
    given = parser.parse_args()
    end_with_parent(lambda: os._exit(1))
    SphereServer(given.address, given.delay, given.version, given.fail).run()
