"""Whole simulated room scans: a recipe furnishes a plan, a camera walks through it, the sensor's faults are added."""

import numpy as np

from inference_server.data.scans import STRUCTURE, Scan

from . import camera, flats, furnish, groups, sensor, shell
from . import things as T
from .catalogue import Catalogue
from .plan import Plan, make_plan
from .scene import Scene

GENERATOR_VERSION = 9
"""Raised with every change that alters what a seed gives."""

MIN_VERTICES = 25
"""Fewer visible vertices than this are no object anybody would label."""
SPLIT_SEED = {"train": 1, "validation": 2, "test": 3}
RECIPES = ("living", "bedroom", "kitchen", "office", "meeting", "bathroom", "hall", "storage", "mixed")
RECIPE_WEIGHTS = (0.18, 0.18, 0.11, 0.19, 0.1, 0.06, 0.06, 0.04, 0.08)


def random_plan(recipe: str, rng: np.random.Generator) -> Plan:
    """Plan of a size that suits the recipe; now and then L-shaped, now and then very large."""
    low, high = {
        "bathroom": (1.7, 3.4),
        "bedroom": (2.7, 4.6),
        "kitchen": (2.4, 4.8),
        "hall": (4.0, 11.0),
        "meeting": (3.2, 8.5),
        "office": (2.7, 8.5),
        "storage": (2.2, 5.0),
    }.get(recipe, (3.0, 6.5))
    width, depth = rng.uniform(low, high), rng.uniform(low, min(high, 8.0))
    if recipe == "hall" and rng.random() < 0.5:
        width, depth = rng.uniform(5, 11), rng.uniform(1.4, 2.6)
    height = rng.uniform(2.3, 3.0) if recipe not in ("hall", "meeting") else rng.uniform(2.5, 4.0)
    notch = None
    if min(width, depth) > 3.2 and rng.random() < 0.3:
        notch = (rng.uniform(0.2, 0.5) * width, rng.uniform(0.2, 0.5) * depth)
    return make_plan(width, depth, height, notch)


def essentials(scene: Scene, plan: Plan, recipe: str) -> None:
    """The furniture that makes a room what it is; placed first, while there is space."""
    rng, n = scene.rng, scene.rng.integers
    area = plan.width * plan.depth

    def walls(*roles: str) -> None:
        for role in roles:
            furnish.against_wall(scene, plan, role)

    if recipe in ("kitchen", "mixed") or rng.random() < 0.06:
        groups.kitchen(scene, plan)
    if recipe in ("living", "mixed"):
        walls(*["sofa"] * int(n(1, 3)))
        groups.table_group(scene, plan, "coffee_table", 0)
        walls(*["armchair"] * int(n(0, 3)), "cupboard")
        groups.book_shelf(scene, plan)
        if rng.random() < 0.6:
            groups.table_group(scene, plan)
        walls("floor_lamp", *["shelf"] * int(n(0, 2)))
    if recipe == "bedroom":
        walls(*["bed"] * int(n(1, 3)), "cupboard", "bedside", "bedside", "desk", "cupboard", "chair")
        if rng.random() < 0.6:
            groups.book_shelf(scene, plan)
    if recipe == "kitchen":
        walls(*["kitchen_unit"] * int(n(1, 4)))
        groups.table_group(scene, plan)
        walls("stool", "stool")
        furnish.hang(scene, plan, "kitchen_upper")
    if recipe == "office":
        for _ in range(int(n(1, 4))):
            walls("desk")
        for _ in range(max(1, int(area / 14 * rng.uniform(0.4, 1.4)))):
            groups.workplaces(scene, plan)
        for _ in range(max(1, int(area / 16 * rng.uniform(0.4, 1.2)))):
            groups.table_group(scene, plan, "desk", int(n(1, 3)))
        for _ in range(int(n(1, 3))):
            groups.book_shelf(scene, plan)
        for _ in range(int(n(0, 3))):
            groups.partitions(scene, plan)
        walls("cupboard", "cupboard", "shelf", "chair", "chair")
    if recipe == "meeting":
        for _ in range(max(1, int(area / 11 * rng.uniform(0.6, 1.3)))):
            groups.table_group(scene, plan, "table", int(n(3, 11)))
        flats.add_flat(scene, plan, "whiteboard")
        walls("cupboard", *["chair"] * int(n(0, 6)))
    if recipe == "bathroom":
        walls(*["bathroom"] * int(n(3, 7)), "cupboard")
    if recipe == "hall":
        walls(*["cupboard"] * int(n(0, 4)), *["chair"] * int(n(0, 6)), *["sofa"] * int(n(0, 3)))
        if rng.random() < 0.5:
            groups.table_group(scene, plan)
    if recipe == "storage":
        for _ in range(int(n(2, 5))):
            groups.book_shelf(scene, plan)
        groups.piles(scene, plan, int(n(5, 12)))


def fill(scene: Scene, plan: Plan, recipe: str) -> None:
    """Place everything that belongs into a room of this recipe."""
    rng, n = scene.rng, scene.rng.integers
    area = plan.width * plan.depth
    shell.add_door(scene, plan)
    if rng.random() < 0.3:
        shell.add_structure(scene, plan)
    if rng.random() < 0.3:
        groups.built_in(scene, plan)
    essentials(scene, plan, recipe)
    for _ in range(int(n(0, 4))):
        shell.add_window(scene, plan)
    for _ in range(int(n(0, 3))):
        shell.add_door(scene, plan)
    if rng.random() < 0.15:
        shell.add_drapes(scene, plan)
    for _ in range(int(n(1, 6))):
        flats.add_flat(scene, plan, str(rng.choice(["picture", "picture", "picture", "poster"])))
    kinds = [
        "whiteboard",
        "notice board",
        "mirror",
        "cabinet front",
        "cabinet front",
        "tv",
        "clock",
        "radiator",
        "panel",
        "panel",
        "poster",
    ]
    for _ in range(int(n(1, 6))):
        flats.add_flat(scene, plan, str(rng.choice(kinds)))
    for _ in range(int(n(0, 3))):
        groups.wall_shelf(scene, plan)
    for _ in range(int(n(0, 4))):
        furnish.hang(scene, plan, "wall_small")
    if rng.random() < 0.5:
        furnish.hang(scene, plan, "wall_large")
    for _ in range(int(n(0, 3))):
        furnish.hang(scene, plan, "ceiling")
    groups.piles(scene, plan, int(n(2, 4 + area / 3)))
    for _ in range(int(n(0, 3))):
        where = furnish.free_spot(plan, rng, (0.9, 0.9))
        if where:
            furnish.add(scene, T.rug(scene.density, rng)[1].moved((*where, 0), rng.uniform(0, 6)), "rug")
    if rng.random() < 0.06:
        got = furnish.get(scene, "person")
        where = furnish.free_spot(plan, rng, (0.5, 0.5))
        if got and where:
            furnish.add(scene, got[1].moved((*where, 0), rng.uniform(0, 6)), "person", got[2])


def scan_room(scene: Scene, plan: Plan, rng: np.random.Generator) -> Scan:
    """The finished scene as a depth camera's scan."""
    points, normals, colors, instance = scene.arrays()
    colors = sensor.shade(points, normals, colors, plan.height, rng)
    area = plan.width * plan.depth
    thinnest = 0.6 * scene.density  # large catalogue models are sampled more thinly than walls
    if rng.random() < 0.25:
        poses = camera.panoramas(plan, rng, int(rng.integers(1, 2 + max(1, area // 15))))
        views = camera.see(points, normals, poses, rng, density=thinnest, far=9.0)
    else:
        poses = camera.walking_path(plan, rng, int(rng.integers(12, 24) + area * rng.uniform(0.3, 0.8)))
        views = camera.see(points, normals, poses, rng, density=thinnest, far=rng.uniform(3.2, 5.0))
    keep = views.seen & ~sensor.missing(points, views, rng)
    views = camera.Views(views.distance[keep], views.cosine[keep], views.view[keep], views.poses)
    points, normals, instance = points[keep], normals[keep], instance[keep]
    colors = sensor.expose(colors[keep], views.view, rng)
    points = sensor.measure(sensor.drift_poses(points, views, rng), views, rng)
    # Not finer than the surfaces were sampled, and at most about 300k vertices.
    area = 2 * (plan.width + plan.depth) * plan.height + 2 * plan.width * plan.depth
    cell = max(rng.uniform(0.012, 0.026), 1.1 / np.sqrt(scene.density), np.sqrt(1.5 * area / 300_000))
    points, colors, instance = sensor.fuse(points, colors, instance, cell, rng)
    keep = sensor.fade_thin(points, cell, rng)
    points, instance, colors = points[keep], instance[keep], sensor.bleed(points[keep], colors[keep], rng)
    structure = np.array([k for k, name in scene.names.items() if name in STRUCTURE])
    instance = sensor.unlabel(points, sensor.blur_labels(points, instance, rng), structure, rng)
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(yaw), np.sin(yaw)
    points = (points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])).astype(np.float32)
    return finish(scene, points, colors, instance, rng)


def finish(
    scene: Scene, points: np.ndarray, colors: np.ndarray | None, instance: np.ndarray, rng: np.random.Generator
) -> Scan:
    """Drop instances of fewer than MIN_VERTICES vertices to unlabelled, number the others from 0 (in
    `scene.models` too), shuffle the vertices."""
    counts = np.bincount(instance[instance >= 0], minlength=len(scene.names))
    keep = np.flatnonzero(counts >= MIN_VERTICES)
    number = np.full(len(counts) + 1, -1, dtype=np.int32)
    number[keep] = np.arange(len(keep), dtype=np.int32)
    scene.models = {int(number[old]): key for old, key in scene.models.items() if number[old] >= 0}
    order = rng.permutation(len(points))
    bytes_ = None if colors is None else np.clip(np.round(colors[order] * 255), 0, 255).astype(np.uint8)
    return Scan(
        positions=np.ascontiguousarray(points[order], dtype=np.float32),
        colors=bytes_,
        instance=number[instance[order]],
        names={int(new): scene.names[int(old)] for new, old in enumerate(keep)},
    )


def generate_room(catalogue: Catalogue, split: str, seed: int) -> Scan:
    """A simulated indoor scan: metres, z up, 60k to 300k vertices, every object and wall an instance.

    The same catalogue, split, seed and GENERATOR_VERSION give the same scan on the same machine.
    """
    rng = np.random.default_rng([SPLIT_SEED[split], seed])
    recipe = str(rng.choice(RECIPES, p=RECIPE_WEIGHTS))
    plan = random_plan(recipe, rng)
    surface = 2 * plan.width * plan.depth + 2 * (plan.width + plan.depth) * plan.height
    density = float(np.clip(800_000 / surface, 2600, 9000))
    scene = Scene(catalogue, split, rng, density)
    fill(scene, plan, recipe)
    shell.build_shell(scene, plan)
    # Its own stream: what the sensor draws never changes what stands in the room.
    scan = scan_room(scene, plan, np.random.default_rng([SPLIT_SEED[split], seed, 1]))
    scan.name = f"{recipe}-{split}-{seed}"
    return scan
