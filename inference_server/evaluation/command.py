"""`python -m inference_server evaluate`: click the objects of labelled scans and report what came of it."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from inference_server.data.scannet import LABEL_TABLE, label_table
from inference_server.errors import UserError
from inference_server.files import check_writable, write_json

from .classes import read_classes
from .methods import identify, make_method, needs_colour
from .objects import ObjectResult
from .pictures import draw_object, plot_curves
from .plan import Plan, Task, make_plan, split_tasks
from .replay import means, print_replay, read_session, unused_scans
from .replay import replay as replay_session
from .settings import ADAPTATIONS, BEST, DEFAULT_VOXEL_SIZE, METHODS, Settings
from .sources import SceneSource, find_scenes, passed_over
from .store import SUMMARY, append_result, load_mask, open_folder, write_csv
from .summary import RANKINGS, summarise
from .tables import print_summary
from .workers import run_tasks

WORST = 8


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Scans with 'instance' labels, or folders (scans, ScanNet, S3DIS, SemanticKITTI)."),
    ] = None,
    weights: Annotated[str, typer.Option(help="Shipped name or file of weights.")] = Settings.weights,
    method: Annotated[str, typer.Option(help=" | ".join(METHODS))] = "network",
    clicks: Annotated[int, typer.Option(min=1, max=200, help="Clicks per object.")] = Settings.clicks,
    voxel_size: Annotated[
        float | None,
        typer.Option(help="Working resolution in metres; else 0.05, with --replay the session's.", show_default=False),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Only every n-th object of a scene, largest first.")] = 1,
    min_points: Annotated[int, typer.Option(min=1, help="Leave out objects with fewer points.")] = Settings.min_points,
    jobs: Annotated[int, typer.Option(min=0, help="Processes of one thread each; 0: one per core.")] = 0,
    adapt: Annotated[bool, typer.Option("--adapt", help="Adapt the network to each object's clicks.")] = False,
    adaptation: Annotated[
        str,
        typer.Option(help=f"How to adapt, with --adapt: {BEST} for the weights, or {', '.join(ADAPTATIONS)}."),
    ] = BEST,
    crop: Annotated[
        float | None,
        typer.Option(help="Released code's protocol: a square of so many metres around the true object."),
    ] = None,
    cube_override: Annotated[
        bool,
        typer.Option("--cube-override", help="As the released code, points in click cubes get the label."),
    ] = False,
    other_clicks: Annotated[
        bool,
        typer.Option("--other-clicks", help="Positive clicks on a scene's earlier objects near by count as negatives."),
    ] = False,
    colourless: Annotated[bool, typer.Option("--no-colours", help="As if the scans had no colours.")] = False,
    classes: Annotated[Path | None, typer.Option(help="Seen classes: one a line, or JSON.")] = None,
    ap: Annotated[str, typer.Option(help="Ranking for AP: " + " | ".join(RANKINGS))] = RANKINGS[0],
    replay: Annotated[
        list[Path] | None, typer.Option(help="Study session of the add-on: human and simulator side by side.")
    ] = None,
    engine: Annotated[str, typer.Option(help="torch | minkowski")] = Settings.engine,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for results; a rerun goes on where it stopped.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary there too.")] = None,
) -> None:
    """Click objects out of labelled scans by simulation: IoU over clicks, NoC, AP, pictures."""
    _check_choice("method", method, METHODS)
    _check_choice("ap", ap, RANKINGS)
    _check_choice("adaptation", adaptation, (BEST, *ADAPTATIONS))
    if method != "network":
        told = {"--adapt": adapt, "--weights": weights != Settings.weights, "--engine": engine != Settings.engine}
        _refuse(told, f"--method {method} has no network")
    if adaptation != BEST and not adapt:
        raise UserError(f"--adaptation {adaptation} says how to adapt: give --adapt as well, or leave it out.")
    for name, value in (("voxel-size", voxel_size), ("crop", crop)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name} is {value}: give a positive number of metres.")
    if other_clicks and crop is not None:
        raise UserError("--other-clicks needs whole scans: leave out --crop.")
    settings = identify(
        Settings(
            method=method, weights=weights, clicks=clicks, voxel_size=voxel_size or DEFAULT_VOXEL_SIZE, every=every,
            min_points=min_points, crop=crop, cube_override=cube_override, other_clicks=other_clicks,
            colourless=colourless, adapt=adapt, adaptation=adaptation, engine=engine, device=device,
        )
    )  # fmt: skip
    console = Console()
    if json_file:
        check_writable(json_file)
    if replay:
        told = {"--crop": crop, "--cube-override": cube_override, "--other-clicks": other_clicks, "--classes": classes,
                "--no-colours": colourless, "--every": every > 1, "--clicks": clicks != Settings.clicks,
                "--min-points": min_points != Settings.min_points, "--ap": ap != RANKINGS[0]}  # fmt: skip
        _refuse(told, "--replay takes the objects and clicks of its sessions")
        _replay(replay, paths or [], settings, voxel_size, out, json_file, console)
        return
    if not paths:
        raise UserError("There is nothing to evaluate: give scans with 'instance' labels, or folders of them.")
    class_list = read_classes(classes)
    sources = find_scenes(paths)
    before = open_folder(out, settings, sources) if out else []
    with _progress(console) as progress:
        plan = make_plan(
            progress.track(sources, description="Reading scans"), settings, class_list, needs_colour(settings)
        )
        for reason in plan.no_scans:
            progress.console.print(f"Left out: {reason}", highlight=False, markup=False)
        for remark in (_about_classes(sources), _about_folders(paths)):
            if remark:
                progress.console.print(remark, highlight=False, markup=False)
        results = _run(plan, settings, before, out, jobs or default_jobs(device), progress)
    summary = {
        "protocol": settings.protocol(),
        "extent": settings.extent(),
        "settings": settings.to_json(),
        "plan": plan.facts(),
    }
    summary |= summarise(results, class_list, ap)
    if out:
        write_csv(out, results)
        write_json(out / SUMMARY, summary)
    print_summary(console, summary)
    if json_file:
        write_json(json_file, summary)
    if out:
        plot_curves(out / "iou_over_clicks.png", summary)
        _draw_worst(out, plan, results, settings, console)
    for result in results:
        if result.ended:
            what = f"{result.scene}, object {result.object}: no click after the {len(result.clicks)}th"
            console.print(f"{what}. {result.ended}", highlight=False, markup=False)
    if missing := class_list.missing(result.class_name for result in results):
        console.print(f"No object has these classes of the list: {', '.join(missing)}", highlight=False, markup=False)
    if out:
        where = f"Results, plot and pictures of the worst objects: {out}"
        console.print(where, highlight=False, markup=False, soft_wrap=True)


def _about_classes(sources: list[SceneSource]) -> str:
    """A sentence where class names are not those that a reader of the figures expects, else ""."""
    untold = [source.name for source in sources if source.kind == "scannet" and not label_table(source.path)]
    if not untold:
        return ""
    others = f" and {len(untold) - 1} more" if len(untold) > 1 else ""
    return (
        f"{LABEL_TABLE} is neither beside {untold[0]}{others} nor one folder above: classes are the annotators' words "
        "instead of NYU40's. Copy it there from the data set."
    )


def _about_folders(paths: list[Path]) -> str:
    """A sentence where folders of data sets lie beside the scans of a folder, else ""."""
    passed = passed_over(paths)
    if not passed:
        return ""
    names = ", ".join(map(str, passed))
    return f"Left out, as there are scans beside: {names}. Give the folders of data sets by themselves."


def _replay(
    sessions: list[Path],
    scans: list[Path],
    settings: Settings,
    voxel_size: float | None,
    out: Path | None,
    json_file: Path | None,
    console: Console,
) -> None:
    read = [read_session(path) for path in sessions]
    for path in unused_scans(read, scans):
        unused = f"No session is of a scan called {path.name}: {path} is left out."
        console.print(unused, highlight=False, markup=False, soft_wrap=True)
    method = make_method(settings)
    with _progress(console) as progress:
        rows = [
            replay_session(method, session, scans, voxel_size)
            for session in progress.track(read, description="Replaying sessions")
        ]
    content = {"settings": settings.to_json(), "sessions": rows, "means": means(rows)}
    for path in (out / "replay.json" if out else None, json_file):
        if path:
            write_json(path, content)
    print_replay(console, rows)


def default_jobs(device: str) -> int:
    """One process per core that we may use, at most four; one where a GPU does the work."""
    from ..devices import choose_device

    if choose_device(device).type != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"--{option} is '{value}': choose one of {', '.join(choices)}.")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _run(
    plan: Plan,
    settings: Settings,
    before: list[ObjectResult],
    out: Path | None,
    jobs: int,
    progress: Progress,
) -> list[ObjectResult]:
    """Results of the whole plan in its order: those from before, and what is still to be done."""
    names = {(task.source.name, identity): name for task in plan.tasks for identity, name in task.objects}
    done = {
        key: replace(result, class_name=names[key])
        for result in before
        if (key := (result.scene, result.object)) in names
    }
    todo = []
    for task in plan.tasks:
        left = tuple(pair for pair in task.objects if (task.source.name, pair[0]) not in done)
        if left and settings.other_clicks:  # a scene's objects know of each other: all again, in one process
            todo.append(task)
        elif left:
            todo.append(Task(task.source, left))
    left = sum(len(task.objects) for task in todo)
    bar = progress.add_task("Clicking objects", total=plan.objects, completed=plan.objects - left)
    if todo:
        todo = todo if settings.other_clicks else split_tasks(todo, jobs)
        for result in run_tasks(todo, settings, out, jobs):
            if out:
                append_result(out, result)
            done[result.scene, result.object] = result
            progress.advance(bar)
    return [done[key] for key in names]


def _draw_worst(out: Path, plan: Plan, results: list[ObjectResult], settings: Settings, console: Console) -> None:
    """Pictures of the objects with the lowest IoU after the last click."""
    sources = {task.source.name: task.source for task in plan.tasks}
    for old in (out / "worst").glob("*.png"):
        with contextlib.suppress(OSError):  # a picture that somebody looks at may have to stay
            old.unlink()
    for place, result in enumerate(sorted(results, key=lambda r: r.ious[-1])[:WORST], 1):
        mask = load_mask(out, result)
        if mask is None:
            missing = f"No picture of object {result.object} of {result.scene}: its mask file is gone or damaged."
            console.print(missing, highlight=False, markup=False)
            continue
        path = out / "worst" / f"{place}-{result.scene.replace('/', '__')}-{result.object}.png"
        draw_object(path, sources[result.scene].load(), result, mask, settings.crop)


def _refuse(told: dict[str, object], why: str) -> None:
    """Raises UserError that names the options that were told and would change nothing."""
    if unused := [option for option, value in told.items() if value]:
        raise UserError(f"{why}: leave out {', '.join(unused)}.")
