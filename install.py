#!/usr/bin/env python3
"""Set up and run Scanpick from a checkout: `python install.py demo` is all it takes.

Needs Python 3.10 or newer and nothing else; all it makes lies in `.venv` and the user's cache folder.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036  (told, not crashed)
    sys.exit("Scanpick needs Python 3.10 or newer; run install.py with one, e.g. `python3.11 install.py demo`.")

import argparse
import contextlib
import io
import signal
import subprocess
from pathlib import Path

from installer import bpy_environments, environment, extension, minkowski, testing
from installer.console import CommandFailed, InstallError, say
from installer.interpreters import base_python
from installer.torch_build import DEVICES, NoTorchError


def demo(options: argparse.Namespace, rest: list[str]) -> int:
    """Segment the bundled sample scan (or --scan FILE) in a Blender without a window, and report."""
    python = environment.ensure(options.device)
    blender = [options.blender] if options.blender else [bpy_environments.first_environment()]
    zips = extension.build(python)
    command = [python, "-m", "inference_server.demo", "--blender", *blender, "--extensions", zips]
    for name in ("scan", "clicks", "out"):
        if value := getattr(options, name):
            command += [f"--{name}", value]
    return _start(command, options.device)


def test(options: argparse.Namespace, rest: list[str]) -> int:
    """Run all tests that this machine can run; what follows is passed to pytest."""
    return testing.run_tests(options.device, rest)


def blender(options: argparse.Namespace, rest: list[str]) -> int:
    """Build the add-on, check it with Blender's own tool and install it into the Blenders found."""
    try:
        extension.install(environment.ensure(options.device), options.blender)
    except NoTorchError as error:
        say(str(error))
        extension.install(base_python(), options.blender, with_server=False)
    return 0


def serve(options: argparse.Namespace, rest: list[str]) -> int:
    """Start the inference server; what follows is passed to `python -m inference_server serve`."""
    python = environment.ensure(options.device)
    return _start([python, "-m", "inference_server", "serve", *rest], options.device)


def build_minkowski(options: argparse.Namespace, rest: list[str]) -> int:
    """Build MinkowskiEngine, the second engine (Linux; some ten minutes)."""
    minkowski.install(environment.ensure(options.device))
    say("MinkowskiEngine is ready: `python install.py serve --engine minkowski` runs it.")
    return 0


PATIENCE = 15.0
"""Seconds after Ctrl+C until a program that goes on is told to end: longer than a server finishes what runs."""

COMMANDS = {"demo": demo, "test": test, "blender": blender, "serve": serve, "minkowski": build_minkowski}


def _start(command: list[object], device: str) -> int:
    """Run a program of `.venv` in the user's own terminal; returns its exit code."""
    arguments = [str(part) for part in command] + (["--device", device] if device != "auto" else [])
    process = subprocess.Popen(arguments)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told the program too; told again it would not finish what runs. A second Ctrl+C does that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _terminated(number: int, frame: object) -> None:
    """What is told to end takes the programs that it runs along."""
    sys.exit(128 + number)


def main(arguments: list[str]) -> int:
    """Carry out one command; every failure is one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="install.py", description="Set up and run Scanpick.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        text = function.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument("--device", choices=DEVICES, default="auto", help="what the network runs on")
        if name in ("blender", "demo"):
            command.add_argument("--blender", type=Path, metavar="PATH", help="the Blender to use")
        if name == "demo":
            command.add_argument("--scan", metavar="FILE", help="a scan of your own")
            command.add_argument("--clicks", metavar="FILE", help="where to click, for scans without labels")
            command.add_argument("--out", metavar="DIR", help="where the results go (demo_output)")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name that a console can't show; Python does so on stderr itself
    options, rest = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    if rest and options.command not in ("test", "serve"):
        parser.error(f"{options.command} does not know {rest[0]}")
    try:
        return COMMANDS[options.command](options, rest)
    except InstallError as error:
        if isinstance(error, CommandFailed) and error.tail:
            say("\n".join("    | " + line for line in error.tail.splitlines()[-12:]))
        print(f"Error: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; running the same command again goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
