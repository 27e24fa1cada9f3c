"""`python -m inference_server convert`: scans and labels from one format to another."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..data import labels as label_files
from ..data.formats import READERS
from ..data.scans import Report, Scan, read_scan, silent
from ..data.thinning import SMALLEST_CELL, thin
from ..errors import UserError

READ_SHARE = 0.7
"""Of the whole work, for the progress."""


def command(
    source: Annotated[Path, typer.Argument(help=f"A scan ({' '.join(sorted(READERS))}) or a file of labels.")],
    out: Annotated[Path, typer.Option(help=f"The file to write: {' '.join(label_files.WRITERS)}")],
    labels: Annotated[
        Path | None, typer.Option(help="Labels for the scan: PLY, npz, .aggregation.json, .label and others.")
    ] = None,
    thin_to: Annotated[
        float | None, typer.Option("--thin", help="Keep one vertex in each cube of so many metres.")
    ] = None,
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Write the labels without the scan, as npz.")
    ] = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="Print a line of JSON for every step, for programs.")
    ] = False,
) -> None:
    """Convert a scan: any format that is read here into PLY, npz, ScanNet's or SemanticKITTI's labels.

    A file of labels only (.aggregation.json, .label) becomes an npz with its labels. Positions far from the
    origin (georeferenced ones) keep their full precision; an npz has them as float32 with a float64 offset.
    """
    if thin_to is not None and not SMALLEST_CELL <= thin_to < float("inf"):
        raise UserError(f"--thin is {thin_to}: give a positive number of metres, {SMALLEST_CELL:g} or more.")
    only_labels = labels_only or source.suffix.lower() not in READERS
    if only_labels and (labels is not None or thin_to is not None):
        raise UserError("--labels and --thin are for scans: leave them out for labels alone.")
    report: Report = _print_share if progress else silent
    report(0.0)
    if only_labels:
        found = label_files.read_labels(source, lambda share: report(share * READ_SHARE))
        if out.suffix.lower() != ".npz":
            raise UserError(
                f"Labels without a scan go into an .npz, not into {out.name}: give that, or the scan and --labels."
            )
        label_files.write_labels_npz(out, found)
        facts = {"vertices": len(found.instance), "objects": len(found.identities())}
    else:
        scan = read_scan(source, lambda share: report(share * READ_SHARE))
        report(READ_SHARE)
        if labels is not None:
            _put_labels(scan, labels)
        read = len(scan)
        if thin_to is not None:
            scan = thin(scan, thin_to)
        report((1 + READ_SHARE) / 2)
        label_files.write(out, scan)
        facts = {"vertices": len(scan), "read": read, "objects": len(scan.labels.identities())}
    if progress:
        print(json.dumps({"done": facts}), flush=True)
    else:
        words = ", ".join(f"{value:,} {key}" for key, value in facts.items())
        Console(highlight=False).print(f"{out}: {words}", soft_wrap=True)


def _put_labels(scan: Scan, path: Path) -> None:
    found = label_files.read_labels(path)
    if len(found.instance) != len(scan):
        raise UserError(f"{path.name} labels {len(found.instance)} vertices, and the scan has {len(scan)}.")
    scan.instance, scan.names, scan.palette, scan.overlaps = found.instance, found.names, found.palette, found.overlaps
    if found.semantic is not None:
        scan.semantic = found.semantic


def _print_share(share: float) -> None:
    print(json.dumps({"share": round(share, 3)}), flush=True, file=sys.stdout)
