"""What came into a scan from elsewhere: with a scan that was joined to it, or with the data it was converted from.

Such vertices bring the numbers that their objects had there. Here these mean other objects, or none, so that they are
told apart by their revision (session/journal.py), which no other scan has.
"""

from collections.abc import Iterator

import numpy as np

from ..scan import masks, vertex_set
from ..scan.geometry import IMPORTED, INSTANCE, REVISION, UNSAID, Geometry
from . import application, edits, journal, object_list, watch
from .state import free_name


def take_over(geometry: Geometry) -> int:
    """Make objects without clicks of those that came from elsewhere; nothing of the scan's own changes. Returns how
    many. The caller pushes no undo step: what undo or redo brings back is taken over anew. Call it in Object Mode.
    """
    if not geometry.claimed:
        return 0
    counted = journal.last_count(geometry)
    if counted == geometry.count:
        return 0
    revisions = geometry.read_int(REVISION)
    own = np.isin(revisions, [UNSAID, *journal.revisions_ever(geometry.data)])
    # older versions left 0 where Edit Mode had not written, as Blender does in what it joins behind
    own[:counted] |= revisions[:counted] == 0
    if own.all():
        return 0
    return _Taking(geometry, revisions, ~own).write()


class _Taking:
    """One taking over. foreign: bool (N,), the vertices from elsewhere."""

    def __init__(self, geometry: Geometry, revisions: np.ndarray, foreign: np.ndarray):
        self.geometry, self.revisions, self.foreign = geometry, revisions, foreign
        self.before = masks.read_instance(geometry)
        self.state = journal.state(geometry)
        # Blender gives the scan's own vertices 0 where the attribute came with the others only
        kept = ~foreign & np.isin(self.before, [known.number for known in self.state.objects])
        self.after = np.where(kept, self.before, masks.NONE)
        self.theirs = np.where(foreign & (revisions != 0), self.before, masks.NONE)
        self.proper = {name for name in masks.mask_names(geometry) if not name.startswith(".")}
        self.members = masks.mask_attributes(geometry) | masks.members_now(geometry, self.proper)
        self.taken = {known.name for known in self.state.objects} | set(self.members) | {INSTANCE}
        self.number = self.state.last_number
        self.changes: list[journal.Change] = []
        self.differences: list[masks.Difference] = []

    @watch.own
    def write(self) -> int:
        for low, high in self._blocks():
            self._take_block(low, high)
        self._free_own_masks()
        self._keep_labels()
        masks.apply(self.geometry, self.differences, self.before, self.after)
        journal.write(self.geometry, self.changes)
        self.geometry.changed()
        object_list.refresh(self.geometry, self.after)
        return len(self.changes) // 2

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """First and last vertex of each scan that was joined: its vertices follow each other, its revisions may mix."""
        indices = np.flatnonzero(self.foreign & (self.revisions != 0))
        _, first = np.unique(self.revisions[indices], return_index=True)
        _, last = np.unique(self.revisions[indices][::-1], return_index=True)
        ranges = sorted(zip(indices[first].tolist(), indices[::-1][last].tolist(), strict=True))
        while ranges:
            low, high = ranges.pop(0)
            while ranges and ranges[0][0] < high:
                high = max(high, ranges.pop(0)[1])
            yield low, high

    def _take_block(self, low: int, high: int) -> None:
        block = self.theirs[low : high + 1]
        inside = {name: found[(found >= low) & (found <= high)] for name, found in self.members.items()}
        names = [name for name, found in inside.items() if len(found)]
        for number in np.unique(block[block >= 0]).tolist():
            applied = low + np.flatnonzero(block == number)
            name = application.renamed(applied, names, inside)
            if name is not None:
                names.remove(name)
            self._take_object(name, applied if name is None else inside[name])

    def _take_object(self, name: str | None, inside: np.ndarray) -> None:
        """Make an object of the mask `name` (None where its mask is gone) with these vertices."""
        self.number += 1
        vertices = inside if self.state.overlap else inside[self.after[inside] == masks.NONE]
        ours = any(known.name == name for known in self.state.objects)
        alone = name is not None and not ours and len(inside) == len(self.members[name])
        if alone and name in self.proper:
            new, add = name, vertices[:0]
            self.differences.append(masks.Difference(name, add, np.setdiff1d(inside, vertices)))
        else:
            if alone:  # a vertex group that a conversion made an attribute
                self.geometry.data.attributes.remove(self.geometry.data.attributes[name])
                new = name
            else:
                new = free_name(name or f"Object {self.number}", self.taken)
            self.differences.append(masks.Difference(new, vertices, vertices[:0]))
            if name in self.proper:
                self.differences.append(masks.Difference(name, vertices[:0], inside))
                self.members[name] = np.setdiff1d(self.members[name], inside)
        self.taken.add(new)
        self.after[vertices[self.after[vertices] == masks.NONE]] = self.number
        color = [round(c, 4) for c in edits.palette_color(self.number)]
        start = {"members": vertex_set.pack(vertices), "n": self.geometry.count}
        self.changes += [("create", self.number, {"name": new, "color": color}), ("start", self.number, start)]

    def _free_own_masks(self) -> None:
        """What Blender put into the scan's own masks by their names alone becomes a group beside them."""
        for known in self.state.objects:
            stray = self.members.get(known.name, np.empty(0, dtype=np.int64))
            stray = stray[self.foreign[stray]]
            if stray.size:
                name = free_name(known.name, self.taken)
                self.taken.add(name)
                self.differences.append(masks.Difference(name, stray, stray[:0]))
                self.differences.append(masks.Difference(known.name, stray[:0], stray))

    def _keep_labels(self) -> None:
        """Labels of a scan that was never clicked have the name of ours: they are put where such labels belong."""
        labels = np.where(self.foreign & (self.revisions == 0) & (self.before > 0), self.before, masks.NONE)
        if (labels >= 0).any() and INSTANCE + IMPORTED not in self.geometry.data.attributes:
            self.geometry.write_int(INSTANCE + IMPORTED, labels, np.flatnonzero(labels >= 0), masks.NONE)
