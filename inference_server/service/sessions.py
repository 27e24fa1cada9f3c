"""Who is connected, what each of them waits for, and whose turn it is."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..wire.requests import Predict


@dataclass(eq=False)
class Job:
    """A predict request on its way through the service. received: time.perf_counter."""

    session: "Session"
    id: int
    predict: Predict
    received: float
    tries: int = 0
    started: float = 0.0
    told_position: int = 0
    told_at: float = 0.0
    abandoned: bool = False
    """Nobody waits for it any more; the worker that runs it is let finish."""

    @property
    def overdue(self) -> bool:
        deadline = self.predict.deadline
        return deadline is not None and time.perf_counter() - self.received > deadline


@dataclass(eq=False)
class Session:
    """One client. `token` is its secret name, by which it is known again after a reconnect."""

    token: str
    identity: bytes
    heard: float = field(default_factory=time.monotonic)
    queue: OrderedDict[int, Job] = field(default_factory=OrderedDict)
    running: dict[int, Job] = field(default_factory=dict)
    scenes: set[str] = field(default_factory=set)
    asked: float = 0.0
    """When the requests so far would all have been made at the highest rate (time.monotonic)."""

    @property
    def label(self) -> str:
        """What logs and status call it; nobody takes its place with that."""
        return hashlib.sha256(self.token.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    def may_ask(self, rate: float, burst: float) -> bool:
        """Count a request; False where there were more than `rate` a second, with `burst` of them at once at most."""
        now = time.monotonic()
        due = max(self.asked, now - burst / rate) + 1 / rate
        if due > now:
            return False
        self.asked = due
        return True

    def supersede(self, predict: Predict) -> Job | None:
        """Take out the waiting job of the same object, if there is one."""
        for job in self.queue.values():
            if job.predict.object_id == predict.object_id and job.predict.scene == predict.scene:
                return self.queue.pop(job.id)
        return None


class Sessions:
    """All clients, and the round in which their jobs are taken: one from each in turn, oldest first."""

    def __init__(self):
        self._by_identity: dict[bytes, Session] = {}
        self._by_token: dict[str, Session] = {}
        self._round: OrderedDict[str, Session] = OrderedDict()

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_token.values()))

    def __len__(self) -> int:
        return len(self._by_token)

    def find(self, identity: bytes) -> Session | None:
        return self._by_identity.get(identity)

    def has_token(self, token: str) -> bool:
        return token in self._by_token

    def open(self, token: str, identity: bytes) -> Session:
        """A new client, or one that comes back. What a returning one had waiting, and the scenes that it works on, it
        asks for again by itself."""
        known = self._by_token.get(token)
        if known is not None:
            self._by_identity.pop(known.identity, None)
            known.identity = identity
            known.queue.clear()
            known.scenes.clear()
            known.heard = time.monotonic()
        else:
            former = self._by_identity.get(identity)
            if former is not None:
                self.close(former)
            known = self._by_token[token] = Session(token, identity)
        self._by_identity[identity] = known
        self._round.setdefault(token, known)
        return known

    def close(self, session: Session) -> None:
        """Forget a client; what runs for it is nobody's any more."""
        for job in session.running.values():
            job.abandoned = True
        session.queue.clear()
        self._by_identity.pop(session.identity, None)
        self._by_token.pop(session.token, None)
        self._round.pop(session.token, None)

    def make_room(self, silent: float) -> bool:
        """Forget the most silent client, if it waits for nothing and has not been heard for so many
        seconds."""
        idle = [session for session in self if not session.queue and not session.running]
        oldest = min(idle, key=lambda session: session.heard, default=None)
        if oldest is None or time.monotonic() - oldest.heard < silent:
            return False
        self.close(oldest)
        return True

    def next_job(self) -> Job | None:
        """The next job in fair order: the client that was served goes to the end of the round."""
        for session in list(self._round.values()):
            if session.queue:
                self._round.move_to_end(session.token)
                return session.queue.popitem(last=False)[1]
        return None

    def put_back(self, job: Job) -> None:
        """A job that lost its worker runs next."""
        job.session.queue[job.id] = job
        job.session.queue.move_to_end(job.id, last=False)
        if job.session.token in self._round:
            self._round.move_to_end(job.session.token, last=False)

    def waiting(self) -> list[Job]:
        """Waiting jobs in the order in which they will run."""
        lists = [list(session.queue.values()) for session in self._round.values() if session.queue]
        longest = max(map(len, lists), default=0)
        return [jobs[turn] for turn in range(longest) for jobs in lists if turn < len(jobs)]
