"""The demo's half that runs in Blender: does what the artist says and answers over a local socket.

Started by `blender_process.py` in a bpy wheel's Python or with `blender --background --python`. Every message
is one line of JSON. Masks travel as base64 of packed bits, read from the vertex groups themselves.
"""

import base64
import importlib
import json
import socket
import sys
import time
import traceback
import zipfile
from pathlib import Path

import bpy  # first: in a bpy wheel it makes bmesh and mathutils importable

# isort: split
import bmesh
import numpy as np
import tomllib

sys.path.insert(0, str(Path(__file__).parent))
import inside_pictures

ANSWER_TIMEOUT = 180.0  # seconds for one mask: the first includes loading the network
START_TIMEOUT = 120.0


class Refused(Exception):
    """The add-on or Blender did not do what was asked; the text is its sentence."""


class Artist:
    """One scan in one Blender with the add-on installed."""

    def __init__(self) -> None:
        self.obj: bpy.types.Object | None = None
        self.session = None

    def start(self, extensions: str, address: str) -> dict:
        """Install the zip for this Blender as a user would, and let the add-on start the server."""
        fitting = [zip_file for zip_file in sorted(Path(extensions).glob("*.zip")) if _fits(zip_file)]
        if not fitting:
            raise Refused(f"No add-on for Blender {bpy.app.version_string} was built.")
        bpy.ops.extensions.package_install_files(repo="user_default", filepath=str(fitting[0]), enable_on_install=True)
        package = "bl_ext.user_default.scanpick"
        if package not in bpy.context.preferences.addons:
            raise Refused(f"Blender {bpy.app.version_string} did not enable {fitting[0].name}.")
        bpy.context.preferences.addons[package].preferences.address = address
        self.session = importlib.import_module(f"{package}.session.session").session
        bpy.ops.scanpick.server_start()
        connection, until = self.session.connection, time.monotonic() + START_TIMEOUT
        while connection.state.name != "CONNECTED" or not connection.client.server.ready:
            self.session.pump()
            if connection.trouble or time.monotonic() > until:
                raise Refused(connection.trouble or "The server did not answer in time.")
            time.sleep(0.02)
        server = connection.client.server
        return {
            "blender": bpy.app.version_string,
            "blender_python": "{}.{}.{}".format(*sys.version_info[:3]),
            "server": {name: str(getattr(server, name)) for name in ("version", "model", "device", "engine")},
        }

    def open_scan(self, path: str, name: str, voxel_size: float | None) -> dict:
        """Import a PLY into an empty file; it becomes the active object."""
        bpy.ops.wm.read_homefile(use_empty=True)
        bpy.ops.wm.ply_import(filepath=path)
        self.obj = bpy.context.object
        self.obj.name = self.obj.data.name = name
        bpy.context.tool_settings.mesh_select_mode = (True, False, False)
        if voxel_size:
            self.obj.data.scanpick.voxel_size = voxel_size
        return {"vertices": len(self.obj.data.vertices)}

    def new_object(self, name: str) -> dict:
        """A new object in the add-on's list; the next clicks belong to it."""
        self._done(bpy.ops.scanpick.object_new(name=name))
        return {}

    def click(self, vertex: int, positive: bool) -> dict:
        """Select one vertex in Edit Mode and press the add-on's button; the mask that came, the seconds."""
        mesh = self.obj.data
        chosen = np.zeros(len(mesh.vertices), bool)
        chosen[vertex] = True
        mesh.vertices.foreach_set("select", chosen)
        bpy.ops.object.mode_set(mode="EDIT")
        try:
            started = time.perf_counter()
            self._done(bpy.ops.scanpick.click_selection(positive=positive))
            until = time.monotonic() + ANSWER_TIMEOUT
            while self.session.pump():
                if time.monotonic() > until:
                    raise Refused(f"No mask came within {ANSWER_TIMEOUT:.0f} s.")
                time.sleep(0.002)
            seconds = time.perf_counter() - started
        finally:
            bpy.ops.object.mode_set(mode="OBJECT")
        notice = self.session.notices.get(mesh.session_uid)
        if notice is not None and notice.level == "ERROR":
            raise Refused(notice.text)
        item = mesh.scanpick.active_item()
        return {
            "mask": _packed(self._group(item.name)),
            "seconds": seconds,
            "voxel_size": mesh.scanpick.voxel_size,
        }

    def _done(self, result: set[str]) -> None:
        if result != {"FINISHED"}:
            notice = self.session.notices.get(self.obj.data.session_uid)
            raise Refused(notice.text if notice else "The add-on refused without a reason.")

    def _group(self, name: str) -> np.ndarray:
        """(N,) bool: vertices with at least half weight in a vertex group."""
        index = self.obj.vertex_groups[name].index
        mesh = bmesh.new()
        mesh.from_mesh(self.obj.data)
        layer = mesh.verts.layers.deform.active
        inside = np.fromiter((vertex[layer].get(index, 0.0) >= 0.5 for vertex in mesh.verts), bool, len(mesh.verts))
        mesh.free()
        return inside

    def finish(self, out: str) -> dict:
        """Save the file and export every object with the add-on; {"files": paths}."""
        bpy.ops.wm.save_as_mainfile(filepath=str(Path(out) / "segmented.blend"), compress=True)
        files = []
        for kind in ("GLB", "PLY"):
            folder = Path(out) / "objects"
            folder.mkdir(exist_ok=True)
            self._done(bpy.ops.scanpick.export_objects(directory=str(folder), format=kind))
            files += sorted(str(file) for file in folder.glob(f"*.{kind.lower()}"))
        return {"files": files}

    def picture(self, path: str, eye: list[float], target: list[float], hidden: str, objects: bool) -> dict:
        """Render the scan's points in their own colours, or with the objects' colours over them."""
        shown = ~_unpacked(hidden, len(self.obj.data.vertices))
        colours = inside_pictures.point_colours(self.obj, objects)
        inside_pictures.render(self.obj, colours, shown, eye, target, path)
        return {"colours": {item.name: [float(c) for c in item.color] for item in self.obj.data.scanpick.objects}}

    def end(self) -> dict:
        """Stop the server that the add-on started."""
        bpy.ops.scanpick.server_stop()
        return {}


def _fits(zip_file: Path) -> bool:
    with zipfile.ZipFile(zip_file) as archive:
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    first, end = (
        tuple(int(part) for part in manifest.get(f"blender_version_{bound}", default).split("."))
        for bound, default in (("min", "0.0.0"), ("max", "999.0.0"))
    )
    return first <= bpy.app.version < end


def _packed(mask: np.ndarray) -> str:
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def _unpacked(text: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)


def main(port: int) -> None:
    """Answer requests until the other side closes the socket."""
    artist = Artist()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        stream = connection.makefile("rw", encoding="utf-8", newline="\n")
        for line in stream:
            request = json.loads(line)
            try:
                answer = getattr(artist, request.pop("do"))(**request)
            except Refused as error:
                answer = {"refused": str(error)}
            except Exception as error:
                traceback.print_exc()
                answer = {"refused": f"Blender failed: {type(error).__name__}: {error}"}
            stream.write(json.dumps(answer) + "\n")
            stream.flush()
    artist.session and artist.session.connection.shut_down()


if __name__ == "__main__":
    main(int(sys.argv[-1]))
