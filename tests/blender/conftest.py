"""The add-on, installed from its zip into this Blender, and what its tests have in common."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

bpy = pytest.importorskip("bpy", reason="only inside a Blender's Python")

ADDON = "bl_ext.user_default.scanpick"


def server_python() -> str:
    """An interpreter with numpy, pyzmq and blake3: that of the server, never Blender's."""
    return os.environ.get("SCANPICK_PYTHON", str(REPOSITORY / ".venv" / "bin" / "python"))


def extension_zip() -> Path:
    """The zip for this Blender, as `install.py` built it."""
    folder = Path(os.environ["SCANPICK_EXTENSIONS"])
    label = "blender-4.2" if bpy.app.version < (5, 1, 0) else "blender-5.1"
    return next(folder.glob(f"*{label}*.zip"))


def install() -> None:
    """Install and enable the zip, as a user does; over one that is there."""
    bpy.ops.extensions.package_install_files(
        repo="user_default", filepath=str(extension_zip()), enable_on_install=True, overwrite=True
    )


@pytest.fixture(scope="session")
def addon() -> ModuleType:
    """The installed add-on's package."""
    bpy.ops.preferences.addon_disable(module=ADDON)
    install()
    return sys.modules[ADDON]


@pytest.fixture
def session(addon: ModuleType):
    return sys.modules[f"{addon.__name__}.session.session"].session


@pytest.fixture
def module(addon: ModuleType) -> Callable[[str], ModuleType]:
    """A module of the add-on by its dotted name below the package."""

    def get(name: str) -> ModuleType:
        __import__(f"{addon.__name__}.{name}")
        return sys.modules[f"{addon.__name__}.{name}"]

    return get


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class SphereProcess:
    """The test's server as a process that can be ended and started again on the same address."""

    def __init__(self, *arguments: str):
        self.address = free_address()
        self.arguments = arguments
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("sphere_server.py")
        self.process = subprocess.Popen([server_python(), str(script), self.address, *self.arguments])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def sphere_server() -> Iterator[Callable[..., SphereProcess]]:
    """Start a sphere server with arguments; all are ended afterwards."""
    started: list[SphereProcess] = []

    def start(*arguments: str) -> SphereProcess:
        started.append(SphereProcess(*arguments))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def blender(addon: ModuleType, session) -> Iterator[ModuleType]:
    """An empty file, no server wanted, and a clean session."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    if addon.__name__ not in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_enable(module=addon.__name__)
    preferences().start_server = False
    bpy.ops.ed.undo_push(message="Original")
    yield bpy
    if bpy.context.object is not None and bpy.context.object.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    session.forget_file()
    session.connection.shut_down()


@pytest.fixture
def connected(blender: ModuleType, session, sphere_server) -> SphereProcess:
    """A Blender that is told of a running sphere server."""
    server = sphere_server()
    connect(session, server.address)
    return server


def preferences() -> "bpy.types.AddonPreferences":
    """The add-on's preferences."""
    return bpy.context.preferences.addons[ADDON].preferences


def enable_again() -> None:
    """Enable the add-on after it was disabled, and let Blender call it as it does in a window."""
    bpy.ops.preferences.addon_enable(module=ADDON)
    handlers = sys.modules[f"{ADDON}.handlers"]
    assert bpy.app.timers.is_registered(handlers.synchronise)
    handlers.synchronise()


def connect(session, address: str) -> None:
    preferences().address = address
    session.connection.start()
    wait_for_state(session, "connected")


def wait_for_state(session, wanted: str, seconds: float = 10) -> None:
    """Work the session off until its connection is in a state."""
    deadline = time.monotonic() + seconds
    while session.connection.state.value != wanted:
        assert time.monotonic() < deadline, session.connection.text
        session.pump()
        time.sleep(0.01)


def pump(session, seconds: float = 10.0) -> None:
    """Poll like the timer until nothing is under way."""
    deadline = time.monotonic() + seconds
    while session.pump():
        assert time.monotonic() < deadline, f"still waiting: {session.connection.text}"
        time.sleep(0.005)


def grid_points(side: int = 40, spacing: float = 0.05) -> np.ndarray:
    """A square of side x side points in the XY plane, spacing metres apart, from the origin."""
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="xy")
    return np.stack([x.ravel() * spacing, y.ravel() * spacing, np.zeros(side * side)], axis=1).astype(np.float32)


def add_mesh(points: np.ndarray, faces: np.ndarray | None = None, name: str = "scan") -> "bpy.types.Object":
    """A mesh object of these points, active and selected, with an undo step behind it."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.asarray(points).tolist(), [], [] if faces is None else np.asarray(faces).tolist())
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    bpy.ops.ed.undo_push(message="Add scan")
    return obj


def show_picture(material: "bpy.types.Material", image: "bpy.types.Image") -> None:
    """Make an image the colour of a material."""
    material.use_nodes = True
    nodes = material.node_tree
    texture = nodes.nodes.new("ShaderNodeTexImage")
    texture.image = image
    shader = next(node for node in nodes.nodes if node.type == "BSDF_PRINCIPLED")
    nodes.links.new(texture.outputs["Color"], shader.inputs["Base Color"])


def edit_mode() -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.ed.undo_push(message="Edit Mode")


def object_mode() -> None:
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.ed.undo_push(message="Object Mode")


def select(indices: list[int], name: str = "scan") -> None:
    """Select exactly these vertices in Edit Mode, with an undo step as Blender's own tools leave."""
    import bmesh

    mesh = bpy.data.objects[name].data
    edited = bmesh.from_edit_mesh(mesh)
    edited.verts.ensure_lookup_table()
    for vertex in edited.verts:
        vertex.select_set(False)
    for index in indices:
        edited.verts[index].select_set(True)
    bmesh.update_edit_mesh(mesh)
    bpy.ops.ed.undo_push(message="Select")


def group(group_name: str, name: str = "scan") -> set[int]:
    """Vertices of a vertex group (weight >= 0.5), as Blender itself sees them."""
    obj = bpy.data.objects[name]
    if obj.mode == "EDIT":
        obj.update_from_editmode()
    found = obj.vertex_groups.get(group_name)
    if found is None:
        return set()
    return {v.index for v in obj.data.vertices for g in v.groups if g.group == found.index and g.weight >= 0.5}


def instance(name: str = "scan") -> np.ndarray | None:
    """The `instance` attribute in Object Mode."""
    attribute = bpy.data.objects[name].data.attributes.get("instance")
    if attribute is None:
        return None
    values = np.empty(len(attribute.data), dtype=np.int32)
    attribute.data.foreach_get("value", values)
    return values


VOXEL = 0.021  # metres; the sphere server's balls are ten of it wide to each side


@pytest.fixture
def scan(connected: SphereProcess, blender: ModuleType) -> ModuleType:
    """A grid of 1,600 points, 5 cm apart, in Object Mode."""
    add_mesh(grid_points())
    listed(blender).voxel_size = VOXEL
    blender.ops.ed.undo_push(message="Voxel size")
    return blender


def listed(blender: ModuleType, name: str = "scan"):
    """What the add-on keeps with an object's data."""
    return blender.data.objects[name].data.scanpick


def notice(blender: ModuleType, session, name: str = "scan") -> str:
    """What the sidebar says about the scan now, "" for nothing."""
    found = session.notice_of(blender.data.objects[name].data.session_uid)
    return found.text if found else ""


def click(blender: ModuleType, session, vertex: int, positive: bool = True) -> None:
    """Click a vertex in Object Mode and wait for its mask."""
    assert blender.ops.scanpick.click(vertex=vertex, positive=positive) == {"FINISHED"}
    pump(session)


def ball(points: np.ndarray, center: int, voxels: float, excluded: list[int] | None = None) -> set[int]:
    """What the sphere server answers to a click on vertex `center`."""
    distance = np.linalg.norm(points - points[center], axis=1)
    inside = distance <= voxels * 10 + 1e-6
    for other in excluded or []:
        inside &= distance < np.linalg.norm(points - points[other], axis=1)
    return set(np.flatnonzero(inside).tolist())


def looking_down(x: float, y: float, mouse: tuple[float, float] = (50, 50)) -> tuple:
    """What `sight` is told by a window of 100 x 100 pixels that looks down from 3 m above (x, y), 90 degrees wide."""
    from mathutils import Matrix

    near, far = 0.01, 1000.0
    window = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, (near + far) / (near - far), 2 * near * far / (near - far)]]
    region_3d = SimpleNamespace(
        view_matrix=Matrix.Translation((-x, -y, -3)),
        window_matrix=Matrix([*window, [0, 0, -1, 0]]),
        use_clip_planes=False,
    )
    region = SimpleNamespace(width=100, height=100, as_pointer=lambda: 1)
    return region, region_3d, mouse, 1.0


_exit_status: list[int] = []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    _exit_status.append(int(exitstatus))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave at once with pytest's exit code: bpy 4.2's wheel can crash while its interpreter shuts down."""
    sys.stdout.flush()
    sys.stderr.flush()
    if _exit_status:
        os._exit(_exit_status[-1])
