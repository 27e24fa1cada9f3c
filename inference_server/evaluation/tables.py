"""The printed tables."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .metrics import COUNTS, TARGETS

NOC = [f"NoC@{target * 100:.0f}" for target in TARGETS]


def print_summary(console: Console, summary: dict) -> None:
    """Print the groups with their intervals, the classes, AP, and what was left out."""
    console.print(summary["protocol"][0].upper() + summary["protocol"][1:] + ".", highlight=False, markup=False)
    console.print(_group_table(summary))
    if len(summary["by_class"]) > 1:
        console.print(_class_table(summary))
    console.print(_ap_table(summary))
    plan, time = summary["plan"], summary["seconds_per_click"]
    console.print(
        f"{summary['groups']['all']['objects']} objects in {plan['scenes']} scenes of "
        f"{plan['points']:,} points, {plan['unlabelled_points'] / plan['points']:.1%} of them unlabelled "
        f"(background). Left out: {plan['left_out_too_few_points']} of {plan['instances']} instances with "
        f"fewer than {summary['settings']['min_points']} points, {plan['left_out_by_every']} by --every. "
        f"Clicks per scene to IoU 80 %: {summary['clicks_per_scene']['NoC@80']:.0f}. "
        f"Seconds per click: median {time['median']:.3f}, 95 % below {time['p95']:.3f}.",
        highlight=False,
    )


def _group_table(summary: dict) -> Table:
    groups, cap = summary["groups"], min(20, summary["settings"]["clicks"])
    table = Table(
        title=f"Means over objects, {summary['extent']}",
        caption=f"95 % bootstrap intervals; NoC capped at {cap}",
    )
    table.add_column("")
    for name, values in groups.items():
        table.add_column(f"{name}\n{values['objects']} objects", justify="right", overflow="fold")
    for name in NOC:
        table.add_row(name, *(_with_interval(values, name, 1, 2) for values in groups.values()))
    for name in _ious(groups["all"], COUNTS):
        table.add_row(name, *(_with_interval(values, name, 100, 1) for values in groups.values()))
    return table


def _with_interval(values: dict, name: str, scale: int, digits: int) -> str:
    low, high = values["intervals"][name]
    return f"{values[name] * scale:.{digits}f} ({low * scale:.{digits}f}-{high * scale:.{digits}f})"


def _ious(values: dict, counts: tuple[int, ...]) -> list[str]:
    return [f"IoU@{count}" for count in counts if f"IoU@{count}" in values]


def _class_table(summary: dict) -> Table:
    table = Table(title=f"By class, {summary['extent']}")
    ious = _ious(summary["groups"]["all"], (1, 3, 5, 10))
    table.add_column("class")
    table.add_column("n", justify="right")
    for name in [*NOC, *ious]:
        table.add_column(name, justify="right")
    for name, values in sorted(summary["by_class"].items(), key=lambda item: -item[1]["objects"]):
        cells = [f"{values[figure]:.1f}" for figure in NOC] + [f"{values[figure] * 100:.0f}" for figure in ious]
        table.add_row(Text(name), str(values["objects"]), *cells)
    return table


def _ap_table(summary: dict) -> Table:
    ranked = {"probability": "mean foreground probability", "agile3d": "the true IoU, as AGILE3D"}
    rank = ranked[summary["ap_ranking"]]
    table = Table(title=f"Class-agnostic AP / AP50 / AP25, ranked by {rank}, {summary['extent']}")
    table.add_column("clicks", justify="right")
    for group in summary["ap"]:
        table.add_column(group, justify="right")
    for count in summary["ap"]["all"]:
        row = [by_clicks[count] for by_clicks in summary["ap"].values()]
        cells = [" / ".join(f"{cell[name] * 100:.1f}" for name in ("AP", "AP50", "AP25")) for cell in row]
        table.add_row(count, *cells)
    return table
