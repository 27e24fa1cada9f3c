"""Build MinkowskiEngine, the second engine, from its source; the wheel is kept in the user's cache."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from . import debian
from .console import CommandFailed, InstallError, run, say, try_run
from .environment import PIP, installed_torch, pip_install
from .paths import LOG, cache_folder

RELEASE = "0.5.4"

# Headers that CUDA 12 no longer brings in by itself; upstream's last release is older than CUDA 12.
_CUDA_INCLUDES = {
    "src/convolution_kernel.cuh": ("thrust/execution_policy.h",),
    "src/coordinate_map_gpu.cu": ("thrust/unique.h", "thrust/remove.h"),
    "src/spmm.cu": ("thrust/execution_policy.h", "thrust/reduce.h", "thrust/sort.h"),
    "src/3rdparty/concurrent_unordered_map.cuh": ("thrust/execution_policy.h",),
}

_TRY_BLAS = "#include <cblas.h>\nint main() { return cblas_isamax(0, nullptr, 1) != 0; }\n"


def install(python: Path) -> None:
    """Have MinkowskiEngine in an environment that has torch; built first where the cache has no wheel.

    Raises InstallError where it cannot be built here, with what to do.
    """
    if works(python):
        return
    torch_version, cuda = installed_torch(python) or ("", None)
    if not torch_version:
        raise InstallError("MinkowskiEngine is built for the torch in .venv; run `python install.py serve` first.")
    tag = try_run([python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"]).strip()
    folder = cache_folder() / "wheels" / f"minkowski-{RELEASE}-{tag}-{platform.machine()}-torch{torch_version}"
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        ensure_tools(python)
        wheels = [_build(python, cuda, folder)]
    pip_install(python, ["--no-deps", "--force-reinstall", str(wheels[0])], "Installing MinkowskiEngine")
    if not works(python):
        shutil.rmtree(folder)
        raise InstallError("MinkowskiEngine was built but does not load; run this again to build it afresh.")


def works(python: Path) -> bool:
    """Whether the environment of `python` can load MinkowskiEngine (torch must be imported first)."""
    return try_run([python, "-c", "import torch, MinkowskiEngine"], 120) is not None


def ensure_tools(python: Path) -> None:
    """Have a C++ compiler, OpenBLAS and Python's headers. Raises InstallError."""
    if sys.platform != "linux":
        raise InstallError("MinkowskiEngine builds on Linux only; the default engine, torch, needs nothing built.")
    missing = missing_packages(python)
    if missing:
        debian.ensure(missing, "MinkowskiEngine needs a C++ compiler and OpenBLAS")
    if left := missing_packages(python):
        raise InstallError(f"MinkowskiEngine cannot be built: {', '.join(left)} still cannot be used.")


def missing_packages(python: Path) -> list[str]:
    """Debian's names of what the build needs and cannot be found here."""
    missing = []
    compiler = shutil.which("c++") or shutil.which("g++")
    if not compiler:
        missing.append("g++")
    if not compiler or not _compiles(compiler):
        missing.append("libopenblas-dev")
    code = "import sys, sysconfig; print(sysconfig.get_path('include')); print('%d.%d' % sys.version_info[:2])"
    include, version = (try_run([python, "-c", code]) or f"{sysconfig.get_path('include')}\n3.11").split()
    if not (Path(include) / "Python.h").exists():
        missing.append(f"python{version}-dev")
    return missing


def _compiles(compiler: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, "-x", "c++", "-", "-lopenblas", "-o", f"{folder}/program"]
        return subprocess.run(command, input=_TRY_BLAS, text=True, capture_output=True).returncode == 0


def _build(python: Path, cuda: str | None, folder: Path) -> Path:
    """Build the wheel into `folder`; returns its path."""
    with_cuda = cuda is not None and shutil.which("nvcc") is not None
    target = f"CUDA {cuda}" if with_cuda else "CPU"
    say(f"Building MinkowskiEngine {RELEASE} for {target} (some ten minutes, once)")
    with tempfile.TemporaryDirectory(prefix="scanpick-minkowski-") as name:
        work = Path(name)
        pip_install(
            python,
            ["--target", str(work / "tools"), "setuptools<81", "wheel", "ninja"],
            "Getting build tools",
        )
        env = _build_environment(work)
        # Its setup.py calls `pip uninstall MinkowskiEngine` whenever it is read, downloads included.
        command = [python, *PIP, "download", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
        run(
            [*command, "-d", work, f"MinkowskiEngine=={RELEASE}"],
            "Getting MinkowskiEngine's source",
            log=LOG,
            env=env,
        )
        with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
            archive.extractall(work)
        source = work / f"MinkowskiEngine-{RELEASE}"
        patch(source)
        flags = ["--force_cuda"] if with_cuda else ["--cpu_only"]
        try:
            run(
                [python, "setup.py", "bdist_wheel", *flags, "--blas=openblas"],
                "Compiling MinkowskiEngine",
                log=LOG,
                env=env,
                cwd=source,
            )
        except CommandFailed as error:
            raise CommandFailed(
                f"MinkowskiEngine did not compile (the compiler's words are in {LOG}); the default engine, "
                "torch, does not need it.",
                error.tail,
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        wheel = next((source / "dist").glob("*.whl"))
        part = folder / f"{wheel.name}.part"
        shutil.copyfile(wheel, part)
        return part.rename(folder / wheel.name)


def _build_environment(work: Path) -> dict[str, str]:
    """Environment variables of the build: its own tools first in the path, and a `pip` that does nothing."""
    shim = work / "shim" / "pip"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 0\n")
    shim.chmod(0o755)
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    jobs = max(1, min(os.cpu_count() or 1, int(gigabytes / 2)))  # a compiler takes up to 2 GB here
    return {
        "PATH": os.pathsep.join([str(shim.parent), str(work / "tools" / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(work / "tools"),
        "MAX_JOBS": os.environ.get("MAX_JOBS", str(jobs)),
    }


def patch(source: Path) -> None:
    """Mend the release for today's Python (collections.abc since 3.10) and CUDA's headers (12 and newer)."""
    for file in (source / "MinkowskiEngine").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        mended = text.replace(
            "from collections import Sequence, namedtuple",
            "from collections import namedtuple\nfrom collections.abc import Sequence",
        ).replace("from collections import Sequence\n", "from collections.abc import Sequence\n")
        if mended != text:
            file.write_text(mended, encoding="utf-8")
    for name, headers in _CUDA_INCLUDES.items():
        file = source / name
        lines = "".join(f"#include <{header}>\n" for header in headers)
        file.write_text(lines + file.read_text(encoding="utf-8"), encoding="utf-8")
