"""The repository's own `.venv`: made when missing, checked in a moment when it is there, mended."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from . import debian
from .console import CommandFailed, InstallError, run, say, try_run
from .interpreters import SUPPORTED, is_from_microsofts_store
from .paths import LOG, REPOSITORY, VENV, torch_release, venv_python
from .torch_build import check_machine, choose_device, find_driver, fits, torch_attempts

_STAMP = VENV / "scanpick.json"
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_TOO_NEW = 27  # of pip: the first major release not tried

# Runs inside the environment: names of requirements (with the extras given) that are not installed.
_MISSING = """
import importlib.metadata as m, sys
from pip._vendor.packaging.requirements import Requirement
missing = []
for requirement in map(Requirement, m.requires("scanpick") or []):
    if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ["", *sys.argv[1:]]):
        try:
            m.version(requirement.name)
        except m.PackageNotFoundError:
            missing.append(requirement.name)
print(*missing)
"""


def ensure(device: str = "auto", extras: tuple[str, ...] = ()) -> Path:
    """The interpreter of `.venv` with everything that pyproject.toml asks for; made or mended where needed.

    device: "auto", "cpu", "cuda" or "mps"; "auto" keeps the build that is there. Raises InstallError.
    """
    if is_from_microsofts_store():
        raise InstallError(
            "This is the Microsoft Store's Python, whose files Blender cannot see: install Python 3.11 from "
            "python.org and use that."
        )
    stamp = _read_stamp()
    python = venv_python(VENV)
    if stamp and (device == "auto" or fits(device, stamp["cuda"])) and is_whole(python, stamp, extras):
        return python
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        raise InstallError(
            "This is Python {}.{}; run install.py with one from {}.{} to {}.{}.".format(
                *sys.version_info[:2], *SUPPORTED[0], *SUPPORTED[1]
            )
        )
    check_machine()
    say(f"Setting up {VENV} (once; the log is in {LOG.name} there)")
    _make_venv(python)
    _STAMP.unlink(missing_ok=True)
    pip_install(python, [f"pip>=25.1,<{_TOO_NEW}"], "Updating pip, which goes on with interrupted downloads")
    cuda = _install_torch(python, device, stamp)
    extras = tuple(sorted({*extras, *(stamp["extras"] if stamp else ())}))
    suffix = f"[{','.join(extras)}]" if extras else ""
    pip_install(python, ["-e", f"{REPOSITORY}{suffix}"], "Installing Scanpick and what it needs")
    _STAMP.write_text(json.dumps({"pyproject": _digest(), "cuda": cuda, "extras": extras}))
    return python


def pip_install(python: Path, arguments: list[str], what: str) -> None:
    """Run `pip install` in an environment with visible progress. Raises CommandFailed."""
    raw = ["--progress-bar", "raw"] if _pip_has_raw_progress(python) else []
    try:
        run([python, *PIP, "install", *raw, *arguments], what, log=LOG)
    except CommandFailed as error:
        raise CommandFailed(f"{what} failed; {explain(error.tail)}", error.tail) from error


def explain(tail: str) -> str:
    """What pip's last lines mean, and what to do, as the second half of a sentence."""
    low = tail.lower()
    if "long path" in low:  # pip's hint, where Windows refuses a path of more than 260 characters
        return (
            "a path is longer than Windows allows: move this folder to one like C:\\scanpick, or switch long paths on."
        )
    if "winerror 5]" in low or "winerror 32]" in low:
        return "a file is in use: close Blender and the server, and run this again."
    if "no space left" in low or "errno 28" in low:
        return "the disk is full: free some space and run this again."
    if "no matching distribution" in low and "connection" not in low and "temporary failure" not in low:
        return "there is no such package for this system and Python: try Python 3.11 and see the log."
    if any(sign in low for sign in ("connection", "timed out", "temporary failure", "name resolution")):
        return "the network or the package index did not answer: run this again, finished downloads are kept."
    if "permission denied" in low:
        return "a folder could not be written: see the log, and who owns that folder."
    return f"see {LOG} and run this again."


def _make_venv(python: Path) -> None:
    if try_run([python, "-c", "import pip"]) is not None:
        return
    if VENV.exists():
        shutil.rmtree(VENV, ignore_errors=True)
    if try_run([sys.executable, "-c", "import venv, ensurepip"]) is None:
        debian.ensure(["python{}.{}-venv".format(*sys.version_info[:2])], "Python's module venv is missing")
    make_venv(Path(sys.executable), VENV)


def make_venv(base: Path, folder: Path) -> None:
    """Make a virtual environment of the interpreter `base`. Raises CommandFailed."""
    try:
        run([base, "-m", "venv", folder], f"Making {folder}")
    except CommandFailed as error:
        raise CommandFailed(
            f"The environment {folder} could not be made with {base}; can the folder be written, has the disk space?",
            error.tail,
        ) from error


def _install_torch(python: Path, device: str, stamp: dict | None) -> str | None:
    """Install the build for the device; returns the CUDA version of its build or None."""
    driver = find_driver()
    if device == "auto" and stamp:  # repairing: keep the build chosen before
        device = "cuda" if stamp["cuda"] and driver else choose_device("auto", None)
    chosen = choose_device(device, driver)
    present = installed_torch(python)
    if present and present[0].partition("+")[0] == torch_release() and fits(chosen, present[1]):
        return present[1]
    force = ["--force-reinstall"] if present else []
    attempts = torch_attempts(torch_release(), chosen, driver)
    for number, arguments in enumerate(attempts, 1):
        place = f" (source {number} of {len(attempts)})" if number > 1 else ""
        try:
            pip_install(python, [*arguments, *force], f"Installing PyTorch {torch_release()} for {chosen}{place}")
        except CommandFailed:
            if number == len(attempts):
                raise
            continue
        installed = installed_torch(python)
        if installed is None:
            raise InstallError(f"PyTorch is installed but does not start ({torch_trouble(python)}): {_way_to_start()}")
        if fits(chosen, installed[1]):
            return installed[1]
    raise InstallError(
        f"pip installed a PyTorch that is not the build for {chosen}; delete {VENV}, look for PyTorch in "
        "`pip config list`, and run this again."
    )


def installed_torch(python: Path) -> tuple[str, str | None] | None:
    """(version, CUDA version of the build or None) of an environment's torch; None if it does not import."""
    code = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda]))"
    answer = try_run([python, "-c", code], 120)
    return tuple(json.loads(answer.splitlines()[-1])) if answer else None


def torch_trouble(python: Path) -> str:
    """The last line of what an environment's torch says where it does not import."""
    code = "try:\n    import torch\nexcept Exception as error:\n    print(type(error).__name__, error, sep=': ')"
    lines = (try_run([python, "-c", code], 120) or "").strip().splitlines()
    return lines[-1] if lines else "its process ends without a word"


def _way_to_start() -> str:
    """What to do about a torch that does not import, as the end of a sentence."""
    if sys.platform != "win32":
        return f"delete {VENV} and run this again."
    return (
        "install the Microsoft Visual C++ Redistributable, https://aka.ms/vs/17/release/vc_redist.x64.exe, and run "
        f"this again; if that is there, delete {VENV} first."
    )


def is_whole(python: Path, stamp: dict, extras: tuple[str, ...]) -> bool:
    """Whether an environment, by what its stamp tells, has all that pyproject.toml asks for on this machine."""
    if stamp["pyproject"] != _digest() or not set(extras) <= set(stamp["extras"]):
        return False
    answer = try_run([python, "-c", _MISSING, *stamp["extras"]])
    return answer is not None and not answer.strip()


def _read_stamp() -> dict | None:
    try:
        stamp = json.loads(_STAMP.read_text())
        return stamp if {"pyproject", "cuda", "extras"} <= stamp.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _digest() -> str:
    return hashlib.sha256((REPOSITORY / "pyproject.toml").read_bytes()).hexdigest()


def _pip_has_raw_progress(python: Path) -> bool:
    version = try_run([python, "-c", "import pip; print(pip.__version__)"]) or "0"
    return tuple(int(part) for part in version.split(".")[:2] if part.strip().isdigit()) >= (24, 1)
