"""E57, the exchange format of terrestrial laser scanners: all its scans in the file's own coordinates."""

from pathlib import Path

import numpy as np

from inference_server.errors import UserError

from .scans import RawScan, Report, silent

COLOR_FIELDS = ("colorRed", "colorGreen", "colorBlue")


def read(path: Path, report: Report = silent) -> RawScan:
    """All scans of an E57 file, each moved by its pose; colours where every scan has them.

    Points that the scanner marked as invalid are left out. Raises UserError.
    """
    try:
        import pye57
    except ImportError as error:
        raise UserError(
            f"{path.name} cannot be read here, since there is no E57 library (pye57) for this machine: "
            "save the scan as LAZ or PLY, for example with CloudCompare."
        ) from error
    positions, colors = [], []
    try:
        file = pye57.E57(str(path))
        try:
            for index in range(file.scan_count):
                report(index / file.scan_count)
                have = set(file.get_header(index).point_fields)
                data = file.read_scan(
                    index, ignore_missing_fields=True, colors=have.issuperset(COLOR_FIELDS), transform=True
                )
                part = np.stack([data["cartesianX"], data["cartesianY"], data["cartesianZ"]], 1)
                positions.append(part)
                if have.issuperset(COLOR_FIELDS):
                    colors.append(np.stack([data[name] for name in COLOR_FIELDS], 1))
        finally:
            file.close()
    except Exception as error:  # libE57 raises its own kinds, and Python's for bad headers
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{path.name} is no whole E57 file ({words[0]}): copy it again.") from error
    if not positions:
        raise UserError(f"{path.name} has no scan in it.")
    whole = np.concatenate(colors) if len(colors) == len(positions) else None
    return RawScan(np.concatenate(positions), whole)
