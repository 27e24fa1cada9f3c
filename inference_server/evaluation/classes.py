"""Class names: what counts as structure, which classes training saw, and names of semantic numbers."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from inference_server.data.scans import STRUCTURE
from inference_server.errors import UserError

OTHER_SPELLINGS = {"refridgerator": "refrigerator"}
"""As ScanNet's label table has it, and as its benchmark's list of classes does."""


@dataclass(frozen=True)
class ClassList:
    """seen: classes that training saw, None where nobody said; the others are unseen."""

    seen: frozenset[str] | None = None
    structure: frozenset[str] = STRUCTURE
    names: dict[int, str] = field(default_factory=dict)

    def is_seen(self, name: str) -> bool:
        """Whether training saw a class."""
        return self.seen is not None and spelling(name) in self.seen

    def is_structure(self, name: str | None) -> bool:
        """Whether a class is a part of the building."""
        return name is not None and spelling(name) in self.structure

    def missing(self, names: Iterable[str | None]) -> list[str]:
        """Listed classes that none of an evaluation's objects has: misspelt ones, perhaps."""
        listed = (self.seen or frozenset()) | (frozenset() if self.structure is STRUCTURE else self.structure)
        return sorted(listed - _spelled(name for name in names if name is not None))


def read_classes(path: Path | None) -> ClassList:
    """A class list from a file, or the default one for None.

    Either text, one seen class a line, or JSON: {"seen": [...], "structure": [...], "names": {"5": "chair"}},
    each key optional; names are those of the `semantic` numbers. Raises UserError for anything else.
    """
    if path is None:
        return ClassList()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The class list {path} cannot be read ({error}).") from error
    if not text.lstrip().startswith("{"):
        names = frozenset(line.strip() for line in text.splitlines() if line.strip())
        if not names:
            raise UserError(f"The class list {path} is empty: give one seen class a line.")
        return ClassList(seen=_spelled(names))
    try:
        content = json.loads(text)
        unknown = set(content) - {"seen", "structure", "names"}
        if unknown:
            raise ValueError(f"unknown key '{sorted(unknown)[0]}'")
        return ClassList(
            seen=_spelled(_names(content["seen"])) if "seen" in content else None,
            structure=_spelled(_names(content["structure"])) if "structure" in content else STRUCTURE,
            names={int(number): str(name) for number, name in content.get("names", {}).items()},
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"The class list {path} is not one ({error}): give one class a line, or JSON with seen, structure, names."
        ) from error


def _names(values: list[str]) -> frozenset[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("seen and structure are lists of names")
    return frozenset(values)


def _spelled(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(spelling, names))


def spelling(name: str) -> str:
    """The one spelling by which class names are compared."""
    return OTHER_SPELLINGS.get(name, name)
