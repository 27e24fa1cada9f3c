"""Where the mouse is over a scan with the click tool."""

from dataclasses import dataclass


@dataclass
class Hover:
    """The vertex that a click would hit, in the region where the mouse is.

    region: pointer of that region; local: position in the object's own frame.
    """

    region: int
    object_uid: int
    local: tuple[float, float, float]
    positive: bool


current: Hover | None = None
