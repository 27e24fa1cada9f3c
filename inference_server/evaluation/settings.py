"""What an evaluation was asked to do: all that its figures depend on, and the sentence that says so."""

from dataclasses import asdict, dataclass

from inference_server import __version__

METHODS = ("network", "region-growing", "graph-cut")
BEST = "best"
ADAPTATIONS = ("ours", "strong", "paper")
"""Names of `inference_server.adaptation.ADAPTATIONS`, which takes torch to import; BEST stands for the one that suits
the weights."""

DEFAULT_VOXEL_SIZE = 0.05
"""Metres."""
MEANT = ("weights_sha256", "device", "numbers", "version")
"""Settings that say what the options meant where the evaluation was made."""


@dataclass(frozen=True)
class Settings:
    """Settings that change the figures; lengths in metres, `weights_sha256` of the file's content, `numbers`: what the
    network computes in, `version`: Scanpick's."""

    method: str = "network"
    weights: str = "default"
    weights_sha256: str = ""
    clicks: int = 20
    voxel_size: float = DEFAULT_VOXEL_SIZE
    every: int = 1
    min_points: int = 10
    crop: float | None = None
    cube_override: bool = False
    other_clicks: bool = False
    colourless: bool = False
    adapt: bool = False
    adaptation: str = BEST
    engine: str = "torch"
    device: str = "auto"
    numbers: str = ""
    version: str = __version__

    def protocol(self) -> str:
        """One line for the head of every table and picture."""
        if self.method == "network":
            adapted = f" with online adaptation ({self.adaptation})" if self.adapt else ""
            parts = [f"network {self.weights}{adapted}"]
        else:
            parts = [self.method]
        parts.append(f"{self.voxel_size * 100:g} cm voxels")
        parts.append(self.extent())
        if self.cube_override:
            parts.append("click cubes overridden")
        if self.colourless:
            parts.append("without the scans' colours")
        if self.other_clicks:
            parts.append("clicks on earlier objects near by as negatives")
        parts.append(f"{self.clicks} clicks on the deepest error")
        if self.every > 1:
            parts.append(f"every {_ordinal(self.every)} object by size")
        return ", ".join(parts)

    def extent(self) -> str:
        """How much of a scan an object is sought in: the part of the protocol that changes figures most."""
        return "whole scans" if self.crop is None else f"{self.crop:g} m crops around the true object"

    def differences(self, other: dict) -> list[str]:
        """Options of these settings whose value differs in `other` (as written by `to_json`)."""
        return [name for name, value in self.to_json().items() if other.get(name) != value]

    def to_json(self) -> dict:
        """Plain values by option name."""
        return asdict(self)


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
