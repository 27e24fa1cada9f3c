"""A bad network between a client and its server: a relay of bytes that delays, stalls, cuts, and changes its target."""

import selectors
import socket
import threading
import time
from collections import deque

PIECE = 65_536


class Relay:
    """Listens on `address` and passes everything on to the server at `target`, through a thread of its own.

    delay: seconds that every byte is under way, each direction. rate: bytes a second, each direction. stalled: nothing
    gets through, and nobody is told.
    """

    def __init__(self, target: str, delay: float = 0.0, rate: float = float("inf")):
        self.delay, self.rate, self.stalled = delay, rate, False
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._peers: dict[socket.socket, socket.socket] = {}
        self._under_way: dict[socket.socket, deque[tuple[float, bytes]]] = {}
        self._free_at: dict[socket.socket, float] = {}
        self._cut = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def switch(self, target: str) -> None:
        """Cut all connections; the next ones go to another server."""
        self._target = target
        self.cut()

    def cut(self) -> None:
        """Break all connections, as a pulled plug or a rebooting switch does."""
        self._cut.set()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select(0.002):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif not self.stalled:
                        self._take(selector, key.fileobj)
                self._deliver(selector)
                if self._cut.is_set():
                    self._cut.clear()
                    for end in list(self._peers):
                        self._close(selector, end)
            for end in list(self._peers):
                self._close(selector, end)
            self._listener.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._listener.accept()
        host, _, port = self._target.removeprefix("tcp://").rpartition(":")
        try:
            far = socket.create_connection((host, int(port)), timeout=2)
        except OSError:
            near.close()
            return
        for end, other in ((near, far), (far, near)):
            end.setblocking(False)
            self._peers[end], self._under_way[end] = other, deque()
            selector.register(end, selectors.EVENT_READ)

    def _take(self, selector: selectors.BaseSelector, end: socket.socket) -> None:
        if end not in self._peers:
            return
        try:
            data = end.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._under_way[self._peers[end]].append((time.monotonic() + self.delay, data))
        else:
            self._close(selector, end)

    def _deliver(self, selector: selectors.BaseSelector) -> None:
        for end, waiting in list(self._under_way.items()):
            while waiting and max(waiting[0][0], self._free_at.get(end, 0.0)) <= time.monotonic() and not self.stalled:
                due, data = waiting.popleft()
                try:
                    sent = end.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self._close(selector, end)
                    break
                self._free_at[end] = time.monotonic() + sent / self.rate
                if sent < len(data):
                    waiting.appendleft((due, data[sent:]))
                    break

    def _close(self, selector: selectors.BaseSelector, end: socket.socket) -> None:
        for side in (end, self._peers.get(end)):
            if side is not None and self._peers.pop(side, None) is not None:
                selector.unregister(side)
                del self._under_way[side]
                self._free_at.pop(side, None)
                side.close()
