"""Labels of a scan's vertices with the names and colours of what they mean. Arrays only, and the numpy archive."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

LARGEST_KEPT = 1 << 20  # tables are as long as the largest number is high


class LabelError(Exception):
    """Labels cannot be used; the text is one sentence."""


@dataclass
class Labels:
    """Labels of N vertices.

    Attributes:
        instance: int32 (N,), -1 for none.
        semantic: int32 (N,) classes, or None.
        overlaps: int64 (M, 2), vertex and label of memberships that `instance` cannot tell.
        names: name by label, in the order of the list; labels without vertices are there as well.
        palette: sRGB bytes by label.
    """

    instance: np.ndarray
    semantic: np.ndarray | None = None
    overlaps: np.ndarray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    names: dict[int, str] = field(default_factory=dict)
    palette: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def identities(self) -> list[int]:
        """All labels: those with names in their order, then the rest."""
        here = np.append(self.instance[self.instance >= 0], self.overlaps[:, 1])
        return [*self.names, *(identity for identity in np.unique(here).tolist() if identity not in self.names)]

    def members(self) -> dict[int, np.ndarray]:
        """Sorted vertex indices of every label, overlaps with them."""
        order = np.argsort(self.instance, kind="stable")
        ranked = self.instance[order]
        shared = {
            int(label): self.overlaps[self.overlaps[:, 1] == label, 0] for label in np.unique(self.overlaps[:, 1])
        }
        members = {}
        for label in self.identities():
            start, end = np.searchsorted(ranked, [label, label + 1])
            members[label] = order[start:end]
            if label in shared:
                members[label] = np.union1d(members[label], shared[label])
        return members

    def about(self) -> str:
        """Names and colours as the JSON of the archive."""
        return json.dumps({"names": self.names, "colors": self.palette})

    def set_about(self, text: str) -> None:
        """Take names and colours from such JSON. Raises LabelError."""
        try:
            content = json.loads(text)
            self.names = {int(label): str(name) for label, name in content["names"].items()}
            self.palette = {int(label): (int(r), int(g), int(b)) for label, (r, g, b) in content["colors"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabelError(f"The names of the labels are damaged ({error!r}): import them again.") from error


def whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Labels as int32, negative ones as -1: Blender's PLY import turns integers to floats. Raises LabelError."""
    if np.issubdtype(values.dtype, np.floating) and not (np.isfinite(values) & (values == np.floor(values))).all():
        raise LabelError(f"“{name}” holds values that are no whole numbers: choose the attribute with the labels.")
    if len(values) and values.max() >= 2**31:
        raise LabelError(f"“{name}” holds numbers beyond {2**31 - 1}: number the labels anew.")
    return np.maximum(values, -1).astype(np.int32)


def read_archive(path: Path) -> tuple[Labels | None, dict[str, np.ndarray]]:
    """Labels (None where there are none) and all arrays of an archive that `convert` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    if "instance" not in arrays:
        return None, arrays
    labels = Labels(arrays["instance"], arrays.get("semantic"))
    labels.overlaps = arrays.get("overlaps", labels.overlaps)
    labels.set_about(str(arrays["names"]))
    return labels, arrays


def write_archive(path: Path, labels: Labels, **more: np.ndarray | None) -> None:
    """Write labels and more arrays as a numpy archive. Raises OSError."""
    arrays = {"instance": labels.instance, "semantic": labels.semantic, **more}
    if len(labels.overlaps):
        arrays["overlaps"] = labels.overlaps
    arrays = {key: values for key, values in arrays.items() if values is not None}
    with path.open("wb") as file:
        np.savez(file, names=np.array(labels.about()), **arrays)
