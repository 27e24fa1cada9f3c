"""`python -m inference_server.demo`, as `python install.py demo` starts it with a Blender and the zips."""

import json
import platform
import socket
import sys
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from inference_server import __version__
from inference_server.data.scans import Scan, read_scan, write_ply
from inference_server.errors import UserError
from inference_server.simulation import ClickSimulator
from inference_server.wire import location
from inference_server.wire.protocol import Click

from . import report, tasks
from .artist import Outcome, work_on
from .blender_process import BlenderProcess
from .views import choose_view

SAMPLE = Path(__file__).with_name("sample_room.ply")
REPOSITORY = Path(__file__).resolve().parents[2]


def demo(
    blender: Annotated[Path, typer.Option(help="A Blender, or the Python of an environment with bpy.")],
    extensions: Annotated[Path, typer.Option(help="Folder with the add-on's zips.")],
    scan: Annotated[Path, typer.Option(help="The scan to click in.")] = SAMPLE,
    clicks: Annotated[Path | None, typer.Option(help="Where to click, for scans without labels.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo_output"),
    device: Annotated[str, typer.Option(help="What the network runs on: auto, cpu, cuda or mps.")] = "auto",
    weights: Annotated[str, typer.Option(help="Shipped name or file of weights.")] = "default",
) -> None:
    """Click objects out of a scan in Blender, through the add-on, and report how it went."""
    console, started = Console(), time.monotonic()
    data = read_scan(scan)
    wanted, voxel_size = tasks.from_file(data, clicks) if clicks else (tasks.from_labels(data), None)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {out} cannot be made ({error.strerror}): give another with --out.") from error
    console.print(f"{data.name}: {len(data):,} vertices, {len(wanted)} objects to click")
    with (
        tempfile.TemporaryDirectory(prefix="scanpick-demo-", ignore_cleanup_errors=True) as scratch,
        console.status("Starting Blender and the inference server") as status,
        _started(Path(scratch), blender, out, device, weights) as process,
    ):
        address = f"tcp://127.0.0.1:{_free_port()}"
        about = process.ask("start", extensions=str(extensions.resolve()), address=address)
        status.stop()
        server = about["server"]
        running = f"{server['model']} on {server['device']} ({server['engine']} engine)"
        console.print(f"Blender {about['blender']}; the server runs {running}")
        # The artist's scan has no labels, and lies near the origin as Blender's single precision needs it.
        write_ply(Path(scratch) / "scan.ply", Scan(data.positions, data.colors))
        path = str(Path(scratch) / "scan.ply")
        process.ask("open_scan", path=path, name=data.name, voxel_size=voxel_size)
        outcomes = _click_all(console, process, wanted, data)
        with console.status("Saving, exporting and rendering"):
            files = process.ask("finish", out=str(out.resolve()))["files"]
            picture = _pictures(process, data, wanted, outcomes, out)
            process.ask("end")
    seconds = time.monotonic() - started
    report.write_report(out / "report.json", outcomes, _facts(scan, data, about, seconds))
    report.print_table(console, outcomes)
    where = {
        "picture": picture,
        "Blender file": out / "segmented.blend",
        f"{len(files)} exported files": out / "objects",
        "figures": out / "report.json",
    }
    for what, path in where.items():
        console.print(f"{what + ':':<20} {path.resolve()}", soft_wrap=True, highlight=False)
    console.print(f"Done in {seconds:.0f} s.")


def _started(scratch: Path, blender: Path, out: Path, device: str, weights: str) -> BlenderProcess:
    """Blender with the record that lets the add-on start the server, as `install.py blender` leaves it."""
    arguments = ["-m", "inference_server", "serve", "--device", device, "--weights", weights]
    record = {"python": sys.executable, "folder": str(REPOSITORY), "arguments": arguments}
    (scratch / location.FILE_NAME).write_text(json.dumps(record), encoding="utf-8")
    return BlenderProcess(blender, scratch, out / "blender.log", {"SCANPICK_CONFIG": str(scratch)})


def _facts(scan: Path, data: Scan, about: dict, seconds: float) -> dict:
    """What report.json says beside the objects."""
    server = about["server"]
    return {
        "scan": scan.name,
        "vertices": len(data),
        "device": server["device"],
        "engine": server["engine"],
        "model": server["model"],
        "versions": {
            "scanpick": __version__,
            "server": server["version"],
            "blender": about["blender"],
            "blender_python": about["blender_python"],
            "python": platform.python_version(),
            "torch": version("torch"),
        },
        "seconds": round(seconds, 1),
    }


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return probe.getsockname()[1]


def _click_all(console: Console, blender: BlenderProcess, wanted: list[tasks.Task], scan: Scan) -> list[Outcome]:
    simulator, outcomes = ClickSimulator(scan.positions), []

    def press(click: Click) -> dict:
        return blender.ask("click", vertex=click.vertex, positive=click.positive)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[now]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        progress = bar.add_task("Clicking", total=len(wanted), now="")
        for number, task in enumerate(wanted, 1):
            blender.ask("new_object", name=task.name)
            for outcome in work_on(task, press, simulator, len(scan)):
                score = f", IoU {100 * outcome.iou[-1]:.0f} %" if outcome.iou else ""
                now = f"{number}/{len(wanted)} {task.name}: click {len(outcome.seconds)}{score}"
                bar.update(progress, now=now)
            outcomes.append(outcome)
            bar.update(progress, advance=1)
            if not console.is_terminal:
                console.print(f"  {now}, {outcome.vertices:,} vertices", highlight=False)
    return outcomes


def _pictures(
    blender: BlenderProcess, scan: Scan, wanted: list[tasks.Task], outcomes: list[Outcome], out: Path
) -> Path:
    """Render before.png and after.png from one viewpoint, and both side by side; the latter's path."""
    matters = np.zeros(len(scan), bool)
    for task, outcome in zip(wanted, outcomes, strict=True):
        matters |= outcome.mask if task.truth is None else task.truth
    view = choose_view(scan.positions, matters)
    hidden = tasks.packed(view.hidden)
    for name, objects in (("before", False), ("after", True)):
        path = str((out / f"{name}.png").resolve())
        answer = blender.ask(
            "picture",
            path=path,
            eye=view.eye.tolist(),
            target=view.target.tolist(),
            hidden=hidden,
            objects=objects,
        )
    result = out / "result.png"
    report.side_by_side(out / "before.png", out / "after.png", answer["colours"], outcomes).save(result)
    return result


def main() -> None:
    """Run the command; a UserError becomes one red sentence and exit code 2."""
    try:
        typer.run(demo)
    except UserError as error:
        Console(stderr=True).print(f"[red]Error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
