"""What was used last, kept for the next time up to so many bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def bytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)


class RecentlyUsed(Generic[Value]):
    """Values by key; those asked for longest ago go first, the newest always stays. Their size must not change."""

    def __init__(self, most_bytes: int):
        self._most_bytes = most_bytes
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        """The value kept under a key, None where there is none (any more)."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value."""
        self.pop(key)
        self._values[key] = value
        self._bytes += value.bytes
        while len(self) > 1 and self._bytes > self._most_bytes:
            self._bytes -= self._values.popitem(last=False)[1].bytes

    def pop(self, key: Hashable) -> None:
        """Keep a value no longer."""
        if key in self._values:
            self._bytes -= self._values.pop(key).bytes

    def clear(self) -> None:
        """Give the memory back."""
        self._values.clear()
        self._bytes = 0
