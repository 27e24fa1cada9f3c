"""What the demo leaves: report.json, a table on the screen, a picture of before and after."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from .artist import Outcome

_HEADING = 40  # pixels


def at_click(ious: list[float], count: int) -> float | None:
    """IoU after `count` clicks; an object finished earlier keeps its last. None without labels."""
    return ious[min(count, len(ious)) - 1] if ious else None


def mean_at(outcomes: list[Outcome], count: int) -> float | None:
    """Mean IoU over the objects after `count` clicks; None without labels."""
    values = [value for outcome in outcomes if (value := at_click(outcome.iou, count)) is not None]
    return float(np.mean(values)) if values else None


def write_report(path: Path, outcomes: list[Outcome], about: dict) -> None:
    """Write report.json: `about`, and `objects` with IoU and seconds of every click."""
    objects = [
        {
            "name": outcome.name,
            "clicks": len(outcome.iou or outcome.seconds),
            "iou": [round(value, 4) for value in outcome.iou],
            "vertices": outcome.vertices,
            "seconds_per_click": [round(value, 3) for value in outcome.seconds],
            "voxel_size": round(outcome.voxel_size, 4),
            "click_list": [
                {
                    "vertex": click.vertex,
                    "position": [round(x, 4) for x in click.position],
                    "positive": click.positive,
                }
                for click in outcome.clicks
            ],
        }
        for outcome in outcomes
    ]
    means = {f"mean_iou_at_{count}": mean_at(outcomes, count) for count in (1, 3, 5, 10)}
    path.write_text(json.dumps({**about, **means, "objects": objects}, indent=2) + "\n", encoding="utf-8")


def print_table(console: Console, outcomes: list[Outcome]) -> None:
    """One row per object, and the means."""
    labelled = any(outcome.iou for outcome in outcomes)
    table = Table(title="Objects", title_justify="left")
    table.add_column("object")
    columns = [
        "clicks",
        "vertices",
        *(["IoU@1", "IoU@3", "IoU@5", "last"] if labelled else []),
        "s per click",
    ]
    for name in columns:
        table.add_column(name, justify="right")
    for outcome in outcomes:
        scores = [at_click(outcome.iou, k) for k in (1, 3, 5)] + [outcome.iou[-1]] if outcome.iou else []
        table.add_row(
            outcome.name, str(len(outcome.seconds)), f"{outcome.vertices:,}",
            *(f"{100 * score:.0f} %" for score in scores), f"{np.median(outcome.seconds):.2f}",
        )  # fmt: skip
    if labelled:
        means = [mean_at(outcomes, k) for k in (1, 3, 5, 10)]
        seconds = np.median([s for outcome in outcomes for s in outcome.seconds])
        table.add_section()
        table.add_row("mean", "", "", *(f"{100 * mean:.0f} %" for mean in means), f"{seconds:.2f}")
    console.print(table)


def side_by_side(before: Path, after: Path, colours: dict[str, list[float]], outcomes: list[Outcome]) -> Image.Image:
    """Before and after next to each other with a legend below. colours: sRGB in [0, 1] by object."""
    left, right = Image.open(before).convert("RGB"), Image.open(after).convert("RGB")
    font = ImageFont.load_default(size=20)
    width, bottom = left.width + right.width, _HEADING + left.height
    picture = Image.new("RGB", (width, bottom + 12 + 32 * ((len(outcomes) + 4) // 5)), (24, 24, 26))
    draw = ImageDraw.Draw(picture)
    for x, image, heading in ((0, left, "The scan"), (left.width, right, "Objects clicked out of it")):
        picture.paste(image, (x, _HEADING))
        draw.text((x + 14, 8), heading, fill=(230, 230, 230), font=font)
    for place, outcome in enumerate(outcomes):
        x, y = 14 + (place % 5) * (width // 5), bottom + 8 + 32 * (place // 5)
        draw.rectangle((x, y + 4, x + 18, y + 22), fill=_bytes(colours.get(outcome.name, [0.5, 0.5, 0.5])))
        score = f"  {100 * outcome.iou[-1]:.0f} %" if outcome.iou else ""
        draw.text((x + 26, y), f"{outcome.name}{score}", fill=(230, 230, 230), font=font)
    return picture


def _bytes(color: list[float]) -> tuple[int, ...]:
    return tuple(round(255 * channel) for channel in color[:3])
