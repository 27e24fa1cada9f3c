"""Debian packages: named first, installed only by root or after asking."""

import os
import shutil
import sys
from collections.abc import Sequence

from .console import CommandFailed, InstallError, interactive, run, say


def ensure(packages: Sequence[str], reason: str) -> None:
    """Install Debian packages that `reason` needs, or raise InstallError with the command that would.

    As root they are installed (a person at the keyboard is asked first); others are told the exact command.
    """
    names = " ".join(packages)
    if not shutil.which("apt-get"):
        raise InstallError(f"{reason}; install what your system calls Debian's `{names}` and run this again.")
    if sys.platform == "win32" or os.geteuid() != 0:
        raise InstallError(f"{reason}; install it with `sudo apt-get install -y {names}` and run this again.")
    say(f"{reason}: installing the Debian packages {names}")
    if interactive() and input("  Go on? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        raise InstallError(f"{reason}; nothing was installed, `apt-get install -y {names}` does it.")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(["apt-get", "update", "-qq"], "Reading Debian's package lists", env=quiet)
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            f"Installing {names}",
            env=quiet,
        )
    except CommandFailed as error:
        raise CommandFailed(
            f"Debian's packages could not be installed; `apt-get install -y {names}` shows why.", error.tail
        ) from error
