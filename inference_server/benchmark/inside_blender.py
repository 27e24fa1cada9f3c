"""What the halves of the benchmarks that run in Blender share: the add-on, the scan, a clock."""

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import bpy  # first: in a bpy wheel it makes mathutils importable

# isort: split
import numpy as np

PACKAGE = "bl_ext.user_default.scanpick"
PATIENCE = 300.0


def module(name: str) -> ModuleType:
    """A module of the add-on."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def install(zip_file: str, address: str | None = None) -> None:
    """Install the add-on into an empty file and tell it of the server, where it is to ask one."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=zip_file, enable_on_install=True)
    settings = bpy.context.preferences.addons[PACKAGE].preferences
    settings.start_server = False
    if address is not None:
        settings.address = address


def open_scan(file: str) -> bpy.types.Object:
    """The scan of a numpy archive as a mesh without faces, active, with an undo step behind it."""
    points = np.load(file)
    mesh = bpy.data.meshes.new("scan")
    mesh.vertices.add(len(points["positions"]))
    mesh.vertices.foreach_set("co", points["positions"].ravel())
    colors = mesh.color_attributes.new("Col", "BYTE_COLOR", "POINT")
    rgba = np.concatenate([points["colors"], np.full((len(points["colors"]), 1), 255)], axis=1) / 255
    colors.data.foreach_set("color_srgb", rgba.astype(np.float32).ravel())
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    mesh.scanpick.voxel_size = 0.05
    bpy.ops.ed.undo_push(message="Scan")
    return obj


class Clock:
    """Times of pieces of work in the main thread: seconds by the wall and of its processor."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    @contextmanager
    def piece(self) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.thread_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.thread_time() - processor)

    def figures(self) -> dict[str, float]:
        """Median and worst of both, and how many pieces."""
        figures = {"pieces": len(self.wall)}
        for name, values in (("wall", self.wall), ("processor", self.processor)):
            figures[name], figures[f"{name} worst"] = float(np.median(values)), max(values)
        return figures


def wait(clock: Clock | None = None) -> None:
    """Poll until all masks are here, timing each poll. Ends the process where none comes."""
    session = module("session.session").session
    until = time.monotonic() + PATIENCE
    clock = clock or Clock()
    busy = True
    while busy:
        with clock.piece():
            busy = session.pump()
        if time.monotonic() > until:
            raise SystemExit(f"No mask came: {session.connection.text}")
        time.sleep(0.001)
