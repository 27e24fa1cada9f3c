"""`python -m inference_server rooms`: write simulated scans as .npz files with a contact sheet."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from inference_server.data.scans import Scan
from inference_server.errors import UserError
from inference_server.files import make_folder, replacing
from inference_server.parent import worker_pool

from .catalogue import DEFAULT_FOLDER, SPLITS, load_catalogue

DEFAULTS = (12, "room", "train", 0)
"""Count, kind, split and first seed where nobody says."""

_catalogue = None


def _start_worker(furniture: Path) -> None:
    global _catalogue
    _catalogue = load_catalogue(furniture, progress=False)


def _job(arguments: tuple[str, str, int, Path]) -> tuple[Path, bool]:
    """The scan's file, and whether it had to be made again."""
    from . import generate

    kind, split, seed, path = arguments
    there = path.exists()
    if there and _is_whole(path):
        return path, False
    save_npz(path, generate(kind, _catalogue, split, seed))
    return path, there


def _is_whole(path: Path) -> bool:
    """Whether a file can be read to its end. Raises UserError for one that is no scan of this command."""
    try:
        load_npz(path)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return False
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no scan of this command: move it away or choose another folder.") from error
    return True


def save_npz(path: Path, scan: Scan) -> None:
    """Write positions float32, colors uint8 (absent without colour), instance int32 and the scan's name and class
    names as JSON; whole or not at all."""
    arrays = {"positions": scan.positions, "instance": scan.instance}
    if scan.colors is not None:
        arrays["colors"] = scan.colors
    names = json.dumps({"name": scan.name, "names": scan.names})
    with replacing(path) as file:
        np.savez_compressed(file, **arrays, names=np.array(names))


def load_npz(path: Path) -> Scan:
    """Read what `save_npz` wrote."""
    with np.load(path) as data:
        text = json.loads(str(data["names"]))
        return Scan(
            positions=data["positions"],
            colors=data.get("colors"),
            instance=data["instance"],
            names={int(k): v for k, v in text["names"].items()},
            name=text["name"],
        )


def _frozen_job(arguments: tuple[dict, Path, Path]) -> tuple[Path, bool]:
    from . import frozen

    entry, furniture, path = arguments
    scan, exact = frozen.generate_frozen(entry, furniture)
    save_npz(path, scan)
    return path, exact


def _frozen_test(out: Path, workers: int, furniture: Path) -> None:
    from . import frozen
    from .sheet import contact_sheet

    _, _, record = frozen.load_generator()
    jobs = [(entry, furniture, out / f"{entry['name']}.npz") for entry in record["rooms"]]
    others = sorted(set(out.glob("*.npz")) - {path for _, _, path in jobs})
    if others:
        raise UserError(f"{out} holds other scans too ({others[0].name} ...): choose an empty folder for the test set.")
    with worker_pool(workers, "scans") as pool:
        done = list(track(pool.map(_frozen_job, jobs), "Frozen test set", total=len(jobs)))
    contact_sheet([load_npz(path) for path, _ in done[:12]], out / "contact-sheet.png")
    exact = sum(match for _, match in done)
    Console().print(
        f"{len(done)} rooms, {record['objects']} objects in {out}: {exact} match their SHA-256"
        + (", the others differ only by this processor's rounding." if exact < len(done) else ".")
    )


def command(
    out: Annotated[Path, typer.Option(help="Folder for the .npz files and contact-sheet.png.")],
    count: Annotated[int, typer.Option(min=1, help="How many scans.")] = DEFAULTS[0],
    kind: Annotated[str, typer.Option(help="room, tabletop, object or street.")] = DEFAULTS[1],
    split: Annotated[str, typer.Option(help="train, validation or test: each has its own furniture.")] = DEFAULTS[2],
    seed: Annotated[int, typer.Option(min=0, help="First seed; the scans take the seeds from it upwards.")] = DEFAULTS[
        3
    ],
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    furniture: Annotated[Path, typer.Option(help="Folder with the .sh3f furniture libraries.")] = DEFAULT_FOLDER,
    frozen_test: Annotated[bool, typer.Option("--frozen-test", help="The 20 rooms of the frozen test set.")] = False,
) -> None:
    """Make simulated scans with instance labels from freely licensed furniture."""
    from . import KINDS
    from .sheet import contact_sheet

    if split not in SPLITS:
        raise UserError(f"There is no split called {split}: use one of {', '.join(SPLITS)}.")
    if frozen_test and (count, kind, split, seed) != DEFAULTS:
        raise UserError("The frozen test set is what it is: leave out --count, --kind, --split and --seed.")
    if kind not in KINDS:
        raise UserError(f"There is no kind of scan called {kind}: use one of {', '.join(KINDS)}.")
    make_folder(out)
    load_catalogue(furniture, workers=workers)
    if frozen_test:
        _frozen_test(out, workers, furniture)
        return
    jobs = [(kind, split, s, out / f"{kind}-{split}-{s:06d}.npz") for s in range(seed, seed + count)]
    way_out = "run it again with fewer --workers; it goes on where it stopped"
    with worker_pool(workers, "scans", _start_worker, (furniture,), way_out) as pool:
        done = list(track(pool.map(_job, jobs), "Simulating scans", total=count))
    shown = [load_npz(path) for path, _ in done[:12]]
    contact_sheet(shown, out / "contact-sheet.png")
    again = sum(damaged for _, damaged in done)
    if again:
        Console().print(f"{again} of the scans that were there were damaged, and were made again.")
    points = sum(len(scan) for scan in shown) // len(shown)
    Console().print(f"{count} scans in {out}, about {points:,} vertices each; see {out / 'contact-sheet.png'}.")
