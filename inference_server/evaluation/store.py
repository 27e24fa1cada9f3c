"""The folder of an evaluation: results as they come, so that a rerun goes on where the last one stopped."""

import csv
import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from inference_server.errors import UserError
from inference_server.files import replacing, write_json
from inference_server.wire.protocol import Click

from .objects import ObjectResult
from .settings import MEANT, Settings
from .sources import RESULTS, SceneSource

SETTINGS, OBJECTS, SUMMARY = "settings.json", "objects.jsonl", "summary.json"
MASKS = "masks"


def open_folder(folder: Path, settings: Settings, sources: list[SceneSource]) -> list[ObjectResult]:
    """Results already in the folder of an evaluation with the same settings; [] for a new one, or one without results.

    Raises UserError if the folder holds an evaluation with other settings or of other scans of the same name,
    or cannot be written.
    """
    path = folder / SETTINGS
    scenes = {source.name: [str(source.path.resolve()), source.size, source.changed] for source in sources}
    results = read_results(folder)
    if not results:
        write_json(path, {"settings": settings.to_json(), "scenes": scenes})
        return []
    try:
        content = json.loads(path.read_text())
        before, known = content["settings"], content["scenes"]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete {folder} or give another --out.") from error
    changed = settings.differences(before)
    if changed and not set(changed) - set(MEANT):
        raise UserError(
            f"{folder} holds an evaluation by another Scanpick, with other weights of this name or on other hardware "
            f"({', '.join(changed)}): give another --out, or delete that folder."
        )
    if changed:
        options = ", ".join(
            f"{name.replace('_', '-')} {before.get(name)} there, {settings.to_json()[name]} now" for name in changed
        )
        raise UserError(
            f"{folder} holds an evaluation with other settings ({options}): use the same ones, give another "
            "--out, or delete that folder."
        )
    for name in scenes.keys() & known.keys():
        if scenes[name] != known[name]:
            raise UserError(
                f"{folder} holds results of another scan called {name}, or of what {known[name][0]} was before it "
                "was changed: give another --out, or delete that folder."
            )
    write_json(path, {"settings": before, "scenes": known | scenes})
    return results


def read_results(folder: Path) -> list[ObjectResult]:
    """All results of a folder; a last line cut off by a crash is left out (that object is done again)."""
    path = folder / OBJECTS
    if not path.exists():
        return []
    results = {}
    for line in path.read_text().splitlines():
        try:
            result = result_from_json(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue
        results[result.scene, result.object] = result
    return list(results.values())


def append_result(folder: Path, result: ObjectResult) -> None:
    """Add one object's result. Raises UserError if the disk is full; the rest of the file stays good."""
    path = folder / OBJECTS
    try:
        with path.open("a+b") as stream:
            stream.seek(0, io.SEEK_END)
            end = stream.tell()
            stream.seek(max(0, end - 1))
            cut = b"\n" if end and stream.read(1) != b"\n" else b""  # a line half written by a crash
            stream.write(cut + json.dumps(result_to_json(result)).encode() + b"\n")
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror or error}. Free some space and run it again: it goes on "
            "where it stopped."
        ) from error


def write_csv(folder: Path, results: list[ObjectResult]) -> None:
    """results.csv: scene, object, clicks, iou in [0, 1]; one row per click."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["scene", "object", "clicks", "iou"])
    for result in results:
        for clicks, value in enumerate(result.ious, 1):
            writer.writerow([result.scene, result.object, clicks, f"{value:.6f}"])
    with replacing(folder / RESULTS) as temporary:
        temporary.write_text(table.getvalue(), encoding="utf-8")


def save_mask(folder: Path, result: ObjectResult) -> None:
    """Keep an object's last mask (of the points that were evaluated) for the pictures."""
    with replacing(mask_file(folder, result)) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, bits=np.packbits(result.mask), count=len(result.mask))


def load_mask(folder: Path, result: ObjectResult) -> np.ndarray | None:
    """An object's last mask (N,) bool, or None where its file is gone or damaged."""
    try:
        with np.load(mask_file(folder, result)) as archive:
            return np.unpackbits(archive["bits"], count=int(archive["count"])).astype(bool)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def mask_file(folder: Path, result: ObjectResult) -> Path:
    """Where an object's mask lies."""
    return folder / MASKS / f"{result.scene.replace('/', '__')}-{result.object}.npz"


def result_to_json(result: ObjectResult) -> dict:
    """All of a result but its mask, as plain values."""
    return {
        "scene": result.scene,
        "object": result.object,
        "class": result.class_name,
        "points": result.points,
        "ious": result.ious,
        "confidences": result.confidences,
        "overlaps": [{str(key): value for key, value in step.items()} for step in result.overlaps],
        "seconds": [round(value, 4) for value in result.seconds],
        "clicks": [[*click.position, int(click.positive), click.vertex] for click in result.clicks],
        "ended": result.ended,
    }


def result_from_json(content: dict) -> ObjectResult:
    """The inverse of `result_to_json`."""
    return ObjectResult(
        scene=content["scene"],
        object=int(content["object"]),
        class_name=content["class"],
        points=int(content["points"]),
        ious=content["ious"],
        confidences=content["confidences"],
        overlaps=[{int(key): value for key, value in step.items()} for step in content["overlaps"]],
        seconds=content["seconds"],
        clicks=[Click((x, y, z), bool(sign), int(vertex)) for x, y, z, sign, vertex in content["clicks"]],
        ended=content.get("ended", ""),
    )
