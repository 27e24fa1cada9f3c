"""Coloured surface points of every catalogue model, sampled once and kept in the user's cache folder."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from inference_server.parent import worker_pool

from .catalogue import Model, licence_of, model_rotation, read_library

POINTS = 24_000
CACHE_VERSION = 3
MAX_DISTORTION = 1.3
"""Models whose proportions differ more than this from the catalogue's sizes are dropped."""


def cache_folder() -> Path:
    """Scanpick's folder for things that can be made again; the variable SCANPICK_CACHE overrides it."""
    if chosen := os.environ.get("SCANPICK_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "scanpick"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/scanpick"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scanpick"


class SurfaceCache:
    """Memory-mapped arrays, one row of POINTS per model: positions uint16 in the model's unit box, normals
    int8, colours uint8 RGB. Shared between worker processes by the operating system."""

    def __init__(self, folder: Path) -> None:
        self.positions = np.load(folder / "positions.npy", mmap_mode="r")
        self.normals = np.load(folder / "normals.npy", mmap_mode="r")
        self.colors = np.load(folder / "colors.npy", mmap_mode="r")
        self.areas = np.load(folder / "areas.npy")

    def surface(self, model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Points (n,3) metres with the foot's centre at the origin, front towards -y, z up; unit normals
        (n,3); colours (n,3) in [0,1]; all float32; and the surface area in square metres."""
        size = np.array(model.size, dtype=np.float32)
        points = self.positions[model.row].astype(np.float32) / 65535.0
        points = (points - np.array([0.5, 0.5, 0.0], dtype=np.float32)) * size
        normals = self.normals[model.row].astype(np.float32) / 127.0
        colors = self.colors[model.row].astype(np.float32) / 255.0
        return points, normals, colors, float(self.areas[model.row])


def _texture_colors(visual, faces, weights, mesh) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n,3) uint8 and opacity (n,) of samples on `faces` with barycentric `weights` (n,3)."""
    material = getattr(visual, "material", None)
    diffuse = np.asarray(getattr(material, "diffuse", [180, 180, 180, 255]), dtype=np.float64)[:3]
    colors = np.repeat(diffuse[None].astype(np.uint8), len(faces), axis=0)
    dissolve = getattr(material, "kwargs", {}).get("d", ["1"])
    alpha = np.full(len(faces), float(np.ravel(dissolve)[0]))
    image, uv = getattr(material, "image", None), getattr(visual, "uv", None)
    if image is not None and uv is not None:
        pixels = np.asarray(image.convert("RGBA"))
        at = (uv[mesh.faces[faces]] * weights[:, :, None]).sum(axis=1)
        at = np.nan_to_num(at) % 1.0
        height, width = pixels.shape[:2]
        column = np.minimum((at[:, 0] * width).astype(int), width - 1)
        row = np.minimum(((1 - at[:, 1]) * height).astype(int), height - 1)
        texel = pixels[row, column]
        colors, alpha = texel[:, :3], alpha * texel[:, 3] / 255.0
    return colors, alpha


def sample_model(path: Path, model: Model, rotation: np.ndarray) -> tuple | None:
    """Sample a model's surface: (positions uint16, normals int8, colours uint8, area m2).

    None where the model is unusable: no faces, or proportions off the catalogue's by more than 1.3.
    """
    import trimesh

    scene = trimesh.load(path, force="scene", process=False)
    meshes = [g for g in scene.geometry.values() if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    if not meshes:
        return None
    rng = np.random.default_rng(int(model.identity[:8], 16))
    vertices = [np.asarray(m.vertices) @ rotation.T for m in meshes]
    low = np.min([v.min(axis=0) for v in vertices], axis=0)
    high = np.max([v.max(axis=0) for v in vertices], axis=0)
    # OBJ: x right, y up, z towards the viewer (the front); ours: x right, y to the back, z up.
    extent = (high - low)[[0, 2, 1]]
    size = np.array(model.size)
    solid = (size > 0.02) & (extent > 1e-9)
    if not solid.any():
        return None
    scale = size[solid] / extent[solid]
    if scale.max() / scale.min() > MAX_DISTORTION:
        return None
    triangles = []
    for mesh, v in zip(meshes, vertices, strict=True):
        unit = (v - low) / np.maximum(high - low, 1e-9)
        unit = np.stack([unit[:, 0], 1 - unit[:, 2], unit[:, 1]], axis=1)
        triangles.append(unit[mesh.faces] * size)
    crosses = [np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]) for t in triangles]
    areas = [np.linalg.norm(c, axis=1) / 2 for c in crosses]
    totals = np.array([a.sum() for a in areas])
    if totals.sum() < 1e-7:
        return None
    parts = []
    counts = rng.multinomial(int(POINTS * 1.3), totals / totals.sum())
    for mesh, tri, cross, area, count in zip(meshes, triangles, crosses, areas, counts, strict=True):
        if count == 0:
            continue
        faces = rng.choice(len(area), count, p=area / area.sum())
        r = rng.random((count, 2))
        root = np.sqrt(r[:, 0])
        weights = np.stack([1 - root, root * (1 - r[:, 1]), root * r[:, 1]], axis=1)
        points = (tri[faces] * weights[:, :, None]).sum(axis=1)
        normals = cross[faces] / np.maximum(2 * area[faces], 1e-12)[:, None]
        colors, alpha = _texture_colors(mesh.visual, faces, weights, mesh)
        seen = alpha > rng.random(count) * 0.8  # what is half transparent, a depth camera half sees
        parts.append((points[seen], normals[seen], colors[seen]))
    points, normals, colors = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(points) < 50:
        return None
    pick = rng.permutation(len(points))[:POINTS]
    if len(pick) < POINTS:
        pick = np.concatenate([pick, rng.choice(len(points), POINTS - len(pick))])
    unit = points[pick] / size
    packed = np.clip(np.round(unit * 65535), 0, 65535).astype(np.uint16)
    bytes_normals = np.clip(np.round(normals[pick] * 127), -127, 127).astype(np.int8)
    return packed, bytes_normals, colors[pick].astype(np.uint8), float(totals.sum())


def _sample_job(job: tuple) -> tuple | None:
    path, model, rotation = job
    try:
        return sample_model(path, model, rotation)
    except Exception:  # a broken model of a third party costs us that model, not the catalogue
        return None


def open_cache(files: list[Path], workers: int, progress: bool) -> tuple[SurfaceCache, list[Model]]:
    """The cache for these libraries, built where missing, and the usable models with their rows."""
    digest = hashlib.sha256(f"{CACHE_VERSION} {POINTS}".encode())
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}".encode())
    folder = cache_folder() / "surfaces" / digest.hexdigest()[:16]
    if not (folder / "models.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
        try:
            _build(files, staging, workers, progress)
            staging.replace(folder)
        except OSError:
            if not (folder / "models.json").exists():  # otherwise another process was quicker
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    listed = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    for entry in listed:
        entry.update(size=tuple(entry["size"]), licence=licence_of(entry["library"], entry["key"]))
    models = [Model(**entry) for entry in listed]
    return SurfaceCache(folder), models


def _build(files: list[Path], folder: Path, workers: int, progress: bool) -> None:
    from rich.progress import track

    with tempfile.TemporaryDirectory(prefix="scanpick-furniture-") as scratch:
        jobs = []
        for file in files:
            target = Path(scratch) / file.stem
            with zipfile.ZipFile(file) as archive:
                archive.extractall(target)
            for model, entry in read_library(file):
                jobs.append((target / entry["model"].lstrip("/"), model, model_rotation(entry)))
        with worker_pool(max(1, workers), "furniture") as pool:
            results = pool.map(_sample_job, jobs, chunksize=4)
            sampled = list(track(results, "Sampling furniture", total=len(jobs), disable=not progress, transient=True))
    kept = [(job[1], sample) for job, sample in zip(jobs, sampled, strict=True) if sample is not None]
    np.save(folder / "positions.npy", np.stack([sample[0] for _, sample in kept]))
    np.save(folder / "normals.npy", np.stack([sample[1] for _, sample in kept]))
    np.save(folder / "colors.npy", np.stack([sample[2] for _, sample in kept]))
    np.save(folder / "areas.npy", np.array([sample[3] for _, sample in kept]))
    models = [asdict(replace(model, row=row)) for row, (model, _) in enumerate(kept)]
    (folder / "models.json").write_text(json.dumps(models, ensure_ascii=False), encoding="utf-8")
