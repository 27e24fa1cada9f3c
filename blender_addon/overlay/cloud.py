"""A scan on the graphics card: positions and colours stay there, masks change only the labels."""

import gpu
import numpy as np

from ..scan.colors import read_colors
from ..scan.geometry import Geometry, coordinates, hidden_vertices, same_bits, triangle_count, triangles_of
from ..scan.masks import read_instance

MAX_POINTS = 4_000_000
"""Of larger scans every n-th point is drawn; of those with faces, which Blender shows, every n-th one of the masks."""
NOT_DRAWN = -3
"""Label of the points that the shader leaves out."""


class Cloud:
    """Buffers of one mesh or point cloud."""

    def __init__(self, geometry: Geometry, version: tuple):
        self.version = version
        with geometry.snapshot() as data:
            self.raw = coordinates(data)
            colors = self._colors = read_colors(data).values
            triangles = triangles_of(data)
        self.step = max(1, -(-len(self.raw) // MAX_POINTS))
        self.labels = read_instance(geometry)
        self._hidden: np.ndarray | None = None
        self._drawn_labels: np.ndarray | None = None
        self._static = _static_buffer(self.raw[:: self.step], colors[:: self.step] if colors is not None else None)
        self._triangles = triangles
        self._elements = None
        if triangles is not None and len(triangles) and self.step == 1:
            self._elements = gpu.types.GPUIndexBuf(type="TRIS", seq=triangles)
        self._points = self._faces = None
        self.look_for_hidden(geometry)

    def still_shows(self, geometry: Geometry) -> bool:
        """Whether positions and colours are still those on the graphics card; labels are told by others."""
        colors = read_colors(geometry.data).values
        same = (colors is None) == (self._colors is None) and (colors is None or np.array_equal(colors, self._colors))
        same = same and triangle_count(geometry.data) == (0 if self._triangles is None else len(self._triangles))
        return same and same_bits(coordinates(geometry.data), self.raw)

    def look_for_hidden(self, geometry: Geometry) -> None:
        """Leave out what is hidden in Edit Mode; in Object Mode Blender shows it as well."""
        hidden = None
        if geometry.editing:
            with geometry.snapshot() as data:
                hidden = hidden_vertices(data)
        if not np.array_equal(hidden, self._hidden):
            self._hidden, self._drawn_labels = hidden, None

    @property
    def has_faces(self) -> bool:
        return self._triangles is not None and len(self._triangles) > 0

    def points(self) -> gpu.types.GPUBatch:
        """All points, with the labels as they are now."""
        self._refresh()
        return self._points

    def faces(self) -> gpu.types.GPUBatch | None:
        """All triangles, with the labels as they are now; None for a cloud and for what is too large."""
        self._refresh()
        return self._faces

    def _refresh(self) -> None:
        if self._drawn_labels is self.labels:
            return
        labels = self.labels[:: self.step].astype(np.float32)
        if self._hidden is not None:
            labels[self._hidden[:: self.step]] = NOT_DRAWN
        layout = gpu.types.GPUVertFormat()
        layout.attr_add(id="label", comp_type="F32", len=1, fetch_mode="FLOAT")
        buffer = gpu.types.GPUVertBuf(layout, len(labels))
        buffer.attr_fill("label", labels)
        self._points = gpu.types.GPUBatch(type="POINTS", buf=self._static)
        self._points.vertbuf_add(buffer)
        if self._elements is not None:
            self._faces = gpu.types.GPUBatch(type="TRIS", buf=self._static, elem=self._elements)
            self._faces.vertbuf_add(buffer)
        self._drawn_labels = self.labels


def _static_buffer(positions: np.ndarray, colors: np.ndarray | None) -> gpu.types.GPUVertBuf:
    layout = gpu.types.GPUVertFormat()
    layout.attr_add(id="position", comp_type="F32", len=3, fetch_mode="FLOAT")
    layout.attr_add(id="color", comp_type="U8", len=4, fetch_mode="INT_TO_FLOAT_UNIT")
    buffer = gpu.types.GPUVertBuf(layout, len(positions))
    buffer.attr_fill("position", np.ascontiguousarray(positions))
    rgba = np.full((len(positions), 4), 255, dtype=np.uint8)
    rgba[:, :3] = colors if colors is not None else _by_height(positions)
    buffer.attr_fill("color", rgba)
    return buffer


def _by_height(positions: np.ndarray) -> np.ndarray:
    """Greys by height for scans without colours, so that their shape can be seen at all."""
    height = positions[:, 2]
    finite = height[np.isfinite(height)]
    low, high = np.percentile(finite, [1, 99]) if finite.size else (0.0, 1.0)
    share = np.clip((np.nan_to_num(height) - low) / max(high - low, 1e-9), 0, 1)
    return (80 + 140 * share)[:, None].astype(np.uint8)
