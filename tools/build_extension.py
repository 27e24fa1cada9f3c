"""Build the Blender extension: the add-on, the wire modules and the wheels they need, one zip per range of releases.

Blender 5.2 refuses a zip that holds a cp311 wheel beside an abi3 one, so there are two: for Blender 4.2 to 5.0, and for
5.1 and newer. Standard library only.

    python tools/build_extension.py OUT_DIR [--all-platforms]
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ADDON = REPOSITORY / "blender_addon"
WIRE = REPOSITORY / "inference_server" / "wire"
WHEELS = ("pyzmq==27.1.0", "blake3==1.0.11")
SKIPPED = {"__pycache__", "Thumbs.db"}
FIXED_TIME = (2026, 1, 1, 0, 0, 0)  # the same sources give the same bytes


@dataclass(frozen=True)
class Series:
    """A range of Blender releases and the Pythons inside them. `before` is the first release it is not for."""

    label: str
    pythons: tuple[str, ...]
    first: str
    before: str | None


SERIES = (
    Series("blender-4.2", ("3.11",), "4.2.0", "5.1.0"),
    Series("blender-5.1", ("3.13", "3.14"), "5.1.0", None),  # Linux distributions build it with 3.14
)

PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux2014_x86_64"),
    "linux-arm64": ("manylinux_2_28_aarch64", "manylinux_2_26_aarch64", "manylinux2014_aarch64"),
    "macos-x64": ("macosx_10_15_universal2", "macosx_10_15_x86_64", "macosx_10_12_x86_64"),
    "macos-arm64": ("macosx_10_15_universal2", "macosx_11_0_arm64"),
    "windows-x64": ("win_amd64",),
    "windows-arm64": ("win_arm64",),
}
"""Blender's name of a platform -> pip's names of the wheels that run there."""


class BuildError(Exception):
    """The zips could not be built; the text is one sentence."""


def current_platform() -> str:
    """Blender's name of this machine's platform. Raises BuildError for one that Blender does not run on."""
    system = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(platform.system())
    machine = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}.get(platform.machine().lower())
    if system is None or machine is None:
        raise BuildError(f"Blender does not run on {platform.system()} {platform.machine()}.")
    return f"{system}-{machine}"


def fetch_wheels(series: Series, target: str, cache: Path) -> list[Path]:
    """The wheels for a Blender series and platform, downloaded once. Raises BuildError."""
    folder = cache / "-".join((*WHEELS, series.label, target))
    if not folder.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="part-", dir=cache) as scratch:
                whole = Path(scratch) / "wheels"
                for python in series.pythons:
                    _download(python, target, whole)
                _keep(whole, folder)
        except OSError as error:
            raise BuildError(f"The wheels for {target} could not be kept in {cache}: {error.strerror}.") from error
    return sorted(folder.glob("*.whl"))


def _keep(whole: Path, folder: Path) -> None:
    """Put a folder in its place in one step, so that what is there is whole; another build may have been faster."""
    try:
        whole.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _download(python: str, target: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", *WHEELS, "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--implementation", "cp", "--python-version", python, "--abi", f"cp{python.replace('.', '')}"]
    command += ["--abi", "abi3", "--dest", str(folder)]
    for tag in PLATFORMS[target]:
        command += ["--platform", tag]
    utf8 = {"env": {**os.environ, "PYTHONIOENCODING": "utf-8"}, "encoding": "utf-8", "errors": "replace"}
    done = subprocess.run(command, capture_output=True, **utf8)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no wheel was found"])[-1]
        raise BuildError(f"The wheels {', '.join(WHEELS)} for {target} could not be downloaded: {reason}")


def version() -> str:
    """The product's version: `inference_server.__version__`, read without importing it."""
    text = (REPOSITORY / "inference_server" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "([^"]+)"', text)[1]


def manifest(series: Series, wheels: list[Path], target: str) -> str:
    """The manifest of one zip: the add-on's own, with version, range of releases, platform and wheels."""
    text = (ADDON / "blender_manifest.toml").read_text(encoding="utf-8")
    text = re.sub(r'^version = ".*"$', f'version = "{version()}"', text, flags=re.MULTILINE)
    lines = [f'blender_version_min = "{series.first}"']
    if series.before:
        lines.append(f'blender_version_max = "{series.before}"')
    names = ", ".join(f'"./wheels/{wheel.name}"' for wheel in wheels)
    lines += [f'platforms = ["{target}"]', f"wheels = [{names}]"]
    return re.sub(r'^blender_version_min = ".*"$', "\n".join(lines), text, flags=re.MULTILINE)


def _sources(folder: Path) -> list[Path]:
    """The files of a folder, without what Python, tools and desktops leave there."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix != ".pyc")
    return [f for f in files if not any(p in SKIPPED or p.startswith(".") for p in f.relative_to(folder).parts)]


def _write_zip(file: Path, contents: dict[str, bytes]) -> None:
    part = file.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(contents.items()):
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), data, zipfile.ZIP_DEFLATED)
    part.replace(file)


def build(out_dir: Path, targets: list[str] | None = None, cache: Path | None = None) -> list[Path]:
    """Write the zips for this platform, or for `targets`, into `out_dir`.

    Raises BuildError where a wheel cannot be had.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    contents = {f.relative_to(ADDON).as_posix(): f.read_bytes() for f in _sources(ADDON)}
    for file in _sources(WIRE):
        contents[f"wire/{file.relative_to(WIRE).as_posix()}"] = file.read_bytes()
    contents["wire/LICENSE"] = (REPOSITORY / "LICENSE").read_bytes()
    zips = []
    for target in targets or [current_platform()]:
        for series in SERIES:
            wheels = fetch_wheels(series, target, cache or _cache())
            whole = dict(contents)
            whole["blender_manifest.toml"] = manifest(series, wheels, target).encode("utf-8")
            whole |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
            file = out_dir / f"scanpick-{version()}-{series.label}-{target}.zip"
            _write_zip(file, whole)
            zips.append(file)
    return zips


def _cache() -> Path:
    sys.path.insert(0, str(REPOSITORY))
    from installer.paths import cache_folder

    return cache_folder() / "wheels"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Blender extension zips.")
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--all-platforms", action="store_true", help="for every platform that Blender runs on")
    arguments = parser.parse_args()
    try:
        for file in build(arguments.out_dir, list(PLATFORMS) if arguments.all_platforms else None):
            print(file)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
