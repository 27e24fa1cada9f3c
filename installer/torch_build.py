"""Choose the build of torch: CPU, CUDA for the driver found, or the Mac's own."""

import platform
import re
import sys
import sysconfig
from dataclasses import dataclass

from .console import InstallError, try_run

_INDEX = "https://download.pytorch.org/whl/"
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Driver:
    """What nvidia-smi says: newest CUDA the driver runs and the lowest compute capability of the cards."""

    cuda: tuple[int, int]
    capability: tuple[int, int]


def find_driver() -> Driver | None:
    """The NVIDIA driver, or None where there is none or it has no card."""
    capabilities = try_run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], timeout=20)
    return parse_driver(try_run(["nvidia-smi"], timeout=20) or "", capabilities or "")


def parse_driver(summary: str, capabilities: str) -> Driver | None:
    """Driver from the text of `nvidia-smi` and of its `compute_cap` query; None where one names nothing."""
    cuda = re.search(r"CUDA[^:\n]*Version:\s*(\d+)\.(\d+)", summary)
    found = re.findall(r"(\d+)\.(\d+)", capabilities)
    if not cuda or not found:
        return None
    return Driver((int(cuda[1]), int(cuda[2])), min((int(major), int(minor)) for major, minor in found))


def cuda_variant(driver: Driver) -> str | None:
    """The name of the CUDA build for a driver, e.g. "cu130"; None where the driver is too old.

    torch 2.13 comes for CUDA 12.6 (cards from Maxwell, 5.0) and CUDA 13.0 (cards from Turing, 7.5).
    """
    if driver.cuda >= (13, 0) and driver.capability >= (7, 5):
        return "cu130"
    return "cu126" if driver.cuda >= (12, 0) else None


class NoTorchError(InstallError):
    """There is no torch for this machine; the add-on alone, with a server elsewhere, works on it."""


def check_machine(
    system: str = sys.platform,
    machine: str = platform.machine(),
    release: str = platform.mac_ver()[0],
    build: str = sysconfig.get_platform(),
) -> None:
    """Raise NoTorchError where the pinned torch has no build: on Macs that are not arm64 or older than macOS 14; and
    InstallError for a Python of Windows on ARM, where other libraries have none.

    machine: that of the Python, which under Rosetta is x86_64; release: of macOS; build: what Python was built for.
    """
    if build == "win-arm64":
        raise InstallError(
            "Some libraries have no build for Windows on ARM: take the 64-bit x86 Python 3.11 from python.org, which "
            "runs there too."
        )
    if system != "darwin":
        return
    # a Python built for old systems is told 10.16, whatever the release
    too_old = release.partition(".")[0] in ("11", "12", "13")
    if machine != "arm64" or too_old:
        raise NoTorchError(
            "PyTorch needs an Apple-silicon Mac with macOS 14 or newer and an arm64 Python, and this is "
            f"macOS {release} with a Python for {machine}; the add-on alone works with a server on another machine "
            "(docs/server.md)."
        )


def choose_device(asked: str, driver: Driver | None, system: str = sys.platform) -> str:
    """The device, cpu, cuda or mps, for what the user asked (auto: by the driver found)."""
    if asked == "auto":
        if driver and cuda_variant(driver):
            return "cuda"
        return "mps" if system == "darwin" and platform.machine() == "arm64" else "cpu"
    if asked == "cuda" and system == "darwin":
        raise InstallError("There is no CUDA on a Mac; leave out --device, or give --device cpu.")
    if asked == "mps" and system != "darwin":
        raise InstallError("Only a Mac has the device mps; leave out --device, or give --device cpu.")
    if asked == "cuda" and (driver is None or not cuda_variant(driver)):
        raise InstallError(
            "No NVIDIA driver for CUDA 12 or newer was found (`nvidia-smi` shows it); "
            "install or update the driver, or leave out `--device cuda`."
        )
    return asked


def torch_attempts(release: str, device: str, driver: Driver | None, system: str = sys.platform) -> list[list[str]]:
    """Arguments of `pip install`, to be tried in turn until one is carried out.

    PyPI's torch for Linux is a CUDA build of several GB. A requirement with a local version ("+cpu") cannot
    take it; it is asked of the user's own pip configuration first, then of PyTorch's own index.
    """
    plain = f"torch=={release}"
    if system == "darwin" or (system == "win32" and device == "cpu"):
        return [[plain]]
    variant = cuda_variant(driver) if device == "cuda" and driver else "cpu"
    attempts = [
        [f"{plain}+{variant}"],
        [f"{plain}+{variant}", "--extra-index-url", _INDEX + variant, "--retries", "2"],
    ]
    if system == "linux" and variant == "cu130":
        attempts.append([plain])  # the very build that PyPI has for Linux, for mirrors without local versions
    return attempts


def fits(device: str, torch_cuda: str | None) -> bool:
    """Whether an installed torch (its `torch.version.cuda`) is the build that the device needs."""
    return (torch_cuda is not None) == (device == "cuda")
