"""Runs the tests of tests/blender inside Blender's own Pythons and hands their outcomes to this run.

bpy needs other interpreters than the server does. For every file of tests/blender and every environment named
in SCANPICK_BPY (`SERIES=PYTHON`, joined by the path separator; set by `install.py test`) one process
runs pytest there. Each of its tests is reported as if it had run here, so there is one
summary and one exit code.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
BLENDER_TESTS = HERE / "blender"
INSIDE = "SCANPICK_INSIDE_BLENDER"
TIMEOUT = 900  # seconds for one file: a hung Blender must not hang CI


def pytest_configure() -> None:
    """What a shell runs in its background is deaf to Ctrl+C, and so is all that it starts; tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Here, tests/blender is run by the items below; only a Blender's own pytest collects it."""
    return True if collection_path == BLENDER_TESTS and INSIDE not in os.environ else None


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if module_path == HERE / "test_in_blender.py":
        return BlenderRuns.from_parent(parent, path=module_path)
    return None


def environments() -> dict[str, str]:
    """Blender series -> interpreter with bpy."""
    named = os.environ.get("SCANPICK_BPY", "")
    return dict(entry.split("=", 1) for entry in named.split(os.pathsep) if "=" in entry)


class BlenderRuns(pytest.File):
    """One item for every test file in every Blender."""

    def collect(self) -> Iterator[pytest.Item]:
        for series, python in environments().items():
            for file in sorted(BLENDER_TESTS.glob("test_*.py")):
                yield BlenderRun.from_parent(self, name=f"{series}/{file.name}", file=file, python=python)


class BlenderRun(pytest.Item):
    """One file of tests/blender in one Blender."""

    def __init__(self, *, file: Path, python: str, **rest) -> None:
        super().__init__(**rest)
        self.file, self.python = file, python
        self.reports: list[pytest.TestReport] = []

    def runtest(self) -> None:
        """Run the file there; `reports` gets one for every test, and a failure where it died."""
        with tempfile.TemporaryDirectory(prefix="scanpick-bpy-", ignore_cleanup_errors=True) as home:
            results = Path(home) / "results.xml"
            command = [
                self.python,
                "-m",
                "pytest",
                self.file,
                f"--junitxml={results}",
                "-p",
                "no:cacheprovider",
            ]
            # Blender keeps add-ons and preferences below HOME: every file starts with a Blender never used.
            env = {**os.environ, INSIDE: "1", "HOME": home, "USERPROFILE": home, "TMPDIR": home}
            for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PYTHONPATH"):
                env.pop(name, None)
            try:
                done = subprocess.run(
                    command, cwd=HERE.parent, env=env, stdin=subprocess.DEVNULL, timeout=TIMEOUT,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                )  # fmt: skip
                output, code = done.stdout, done.returncode
            except subprocess.TimeoutExpired as error:
                output, code = f"{error.stdout}\nstopped after {TIMEOUT} s", -1
            self.reports = [self.report(case) for case in _cases(results)]
        failed = any(report.failed for report in self.reports)
        if not self.reports or code != (1 if failed else 0):
            text = f"pytest ended with {code} in {self.python}\n{output[-6000:]}"
            self.reports.append(self.report(None, "failed", text))

    def report(self, case: ElementTree.Element | None, outcome: str = "passed", text: str = "") -> pytest.TestReport:
        """A report as if the test had run here; `case` is its element in the JUnit file."""
        name, seconds = "(process)", 0.0
        longrepr: object = text or None
        if case is not None:
            name, seconds = case.get("name", ""), float(case.get("time", 0))
            inner = case.get("classname", "").rpartition("test_")[2].partition(".")[2]
            name = f"{inner}::{name}" if inner else name
            for kind in ("failure", "error", "skipped"):
                if (found := case.find(kind)) is not None:
                    message = found.get("message", "")
                    outcome = "skipped" if kind == "skipped" else "failed"
                    longrepr = (str(self.file), 0, message) if kind == "skipped" else (found.text or message)
        return pytest.TestReport(
            nodeid=f"{self.nodeid}::{name}",
            location=(str(self.path), 0, f"{self.name}::{name}"),
            keywords={},
            outcome=outcome,
            longrepr=longrepr,
            when="call",
            duration=seconds,
        )


def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if not isinstance(item, BlenderRun):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    item.runtest()
    for report in item.reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _cases(results: Path) -> list[ElementTree.Element]:
    try:
        return list(ElementTree.parse(results).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return []
