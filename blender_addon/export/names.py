"""File names that every system takes."""

import re

NAME_BYTES = 200  # of 255 that file systems take, for endings and numbers
RESERVED = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))}


def safe_name(text: str) -> str:
    """A file name that every system takes, without ending, as like to the text as can be."""
    text = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text).strip(". ")
    text = text.encode("utf-8")[:NAME_BYTES].decode("utf-8", errors="ignore").strip(". ") or "object"
    return f"_{text}" if text.split(".")[0].lower() in RESERVED else text


def free_file_name(text: str, taken: set[str]) -> str:
    """A safe name, numbered where it is among `taken` (lower case, as some systems see no other); added to them."""
    stem = free = safe_name(text)
    count = 1
    while free.lower() in taken:
        free, count = f"{stem}_{count}", count + 1
    taken.add(free.lower())
    return free
