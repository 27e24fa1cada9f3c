"""Furniture for the tests of simulated scans: a small library made here, and Debian's where it is installed."""

import io
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ENTRIES = [
    # name, category, size in centimetres, colour, more keys
    ("Sofa", "Living room", (200, 80, 90), (0.8, 0.2, 0.2), {}),
    ("Table", "Living room", (140, 80, 75), (0.5, 0.4, 0.3), {}),
    ("Chair", "Living room", (45, 50, 85), (0.2, 0.3, 0.6), {}),
    ("Bed", "Bedroom", (150, 210, 60), (0.8, 0.8, 0.7), {}),
    ("Wardrobe", "Bedroom", (120, 60, 210), (0.6, 0.5, 0.4), {}),
    ("Coffee cup", "Kitchen", (9, 9, 11), (0.9, 0.9, 0.9), {}),
    ("Vase", "Miscellaneous", (20, 20, 35), (0.1, 0.5, 0.3), {}),
    ("Ceiling lamp", "Lights", (40, 40, 12), (0.9, 0.9, 0.8), {}),
    ("City car", "Vehicles", (170, 380, 150), (0.3, 0.3, 0.3), {}),
    ("Walker", "Characters", (50, 40, 175), (0.5, 0.4, 0.4), {}),
    ("Distorted table", "Living room", (300, 80, 75), (0.5, 0.4, 0.3), {}),
]


def box_obj(width: float, height: float, depth: float) -> str:
    """A box as OBJ text, y up, with outward faces."""
    corners = [(x, y, z) for x in (0, width) for y in (0, height) for z in (0, depth)]
    faces = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = ["mtllib box.mtl", "usemtl paint"]
    lines += [f"v {x} {y} {z}" for x, y, z in corners]
    lines += [f"f {a} {b} {c} {d}" for a, b, c, d in faces]
    return "\n".join(lines) + "\n"


def write_library(path: Path, copies: int = 8) -> None:
    """An .sh3f with boxes as furniture, in slightly different sizes, so that every split gets some."""
    picture = Image.new("RGB", (64, 8), (255, 0, 0))
    picture.paste((0, 0, 255), (32, 0, 64, 8))
    png = io.BytesIO()
    picture.save(png, "PNG")
    properties, number = ["id=Test#Library"], 0
    with zipfile.ZipFile(path, "w") as archive:
        for name, category, size, color, more in ENTRIES:
            for copy in range(copies):
                number += 1
                width, depth, height = (side * (1 + 0.01 * copy * (copy > 0)) for side in size)
                folder = f"test/{name.replace(' ', '')}{copy}"
                real = width / 2 if name == "Distorted table" else width
                archive.writestr(f"{folder}/box{number}.obj", box_obj(real, height, depth))
                archive.writestr(f"{folder}/box.mtl", "newmtl paint\nKd {} {} {}\nd 1\n".format(*color))
                keys = {
                    "name": name,
                    "category": category,
                    "model": f"/{folder}/box{number}.obj",
                    "width": width,
                    "depth": depth,
                    "height": height,
                    "doorOrWindow": "false",
                    "creator": "Somebody",
                } | more
                properties += [f"{key}#{number}={value}" for key, value in keys.items()]
        number += 1
        quad = (
            "mtllib p.mtl\nusemtl p\nv -1 0 0\nv 1 0 0\nv 1 1 0\nv -1 1 0\nv 0 0 -0.05\n"
            "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvt 0.5 0\nf 1/1 2/2 3/3 4/4\nf 1/1 2/2 5/5\n"
        )
        archive.writestr("test/painting/painting.obj", quad)
        archive.writestr("test/painting/p.mtl", "newmtl p\nKd 1 1 1\nmap_Kd p.png\n")
        archive.writestr("test/painting/p.png", png.getvalue())
        keys = {"name": "Painting", "category": "Living room", "model": "/test/painting/painting.obj"}
        keys |= {"width": 200, "depth": 5, "height": 100, "doorOrWindow": "false", "creator": "Somebody"}
        properties += [f"{key}#{number}={value}" for key, value in keys.items()]
        archive.writestr("PluginFurnitureCatalog.properties", "\n".join(properties))


@pytest.fixture(scope="module")
def furniture(tmp_path_factory):
    """A folder with one small furniture library, its surface cache kept apart from the user's."""
    folder = tmp_path_factory.mktemp("furniture")
    write_library(folder / "Test.sh3f")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANPICK_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def package_folder() -> Path:
    """Debian's furniture; skips where it is not installed, but not in CI."""
    from inference_server.data.rooms.catalogue import DEFAULT_FOLDER

    if not list(DEFAULT_FOLDER.glob("*.sh3f")) and "CI" not in os.environ:
        pytest.skip("the Debian package sweethome3d-furniture is not installed")
    return DEFAULT_FOLDER


@pytest.fixture(scope="session")
def package_models(package_folder):
    """Every model of Debian's furniture, without its surface."""
    from inference_server.data.rooms.catalogue import library_files, read_library

    return [model for path in library_files(package_folder) for model, _ in read_library(path)]
