"""What install.py decides: the build of torch, the Blenders, what a failure means. Nothing is installed here."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import pytest

import install
from installer import (
    bpy_environments,
    console,
    environment,
    extension,
    interpreters,
    minkowski,
    paths,
    testing,
)
from installer.console import CommandFailed, InstallError
from installer.paths import venv_python
from installer.torch_build import (
    Driver,
    NoTorchError,
    check_machine,
    choose_device,
    cuda_variant,
    fits,
    parse_driver,
    torch_attempts,
)
from tools import build_extension

REPOSITORY = Path(__file__).resolve().parents[2]
OLD, NEW = Driver((12, 4), (8, 9)), Driver((13, 1), (8, 9))
SMI = "| NVIDIA-SMI 580.65   Driver Version: 580.65   CUDA Version: 13.0  |"


SERVES_ANOTHER_PROGRAM = """
import sys, install

def serve(options, rest):
    'Start a program that tells its process and takes its time.'
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    return install._start([sys.executable, "-c", program], options.device)

install.COMMANDS["serve"] = serve
sys.exit(install.main(["serve"]))
"""

FINISHES_FIRST = """
import signal, sys, install

signal.signal(signal.SIGINT, signal.default_int_handler)
install.PATIENCE = float(sys.argv[1])
program = '''
import signal, time
stops = []
signal.signal(signal.SIGINT, lambda *_: stops.append(1))
signal.signal(signal.SIGTERM, lambda *_: exit(1))
print("runs", flush=True)
while not stops:
    time.sleep(0.05)
time.sleep(1.5)
print("finished", flush=True)
'''

def serve(options, rest):
    'Start a program that finishes its work after Ctrl+C, unless it is told to end.'
    return install._start([sys.executable, "-c", program], options.device)

install.COMMANDS["serve"] = serve
sys.exit(install.main(["serve"]))
"""


SAYS_A_NAME = """
import sys, install

def serve(options, rest):
    'Say a name that is not ASCII.'
    install.say("C:/J\\xfcrgen")
    return 0

install.COMMANDS["serve"] = serve
sys.exit(install.main(["serve"]))
"""


class TestDevice:
    def test_auto_is_cpu_without_a_driver(self):
        assert choose_device("auto", None, "linux") == "cpu"

    def test_auto_is_cuda_with_a_driver(self):
        assert choose_device("auto", NEW, "linux") == "cuda"

    def test_auto_is_cpu_where_the_driver_is_too_old(self):
        assert choose_device("auto", Driver((11, 8), (8, 6)), "linux") == "cpu"

    def test_the_users_word_beats_the_driver(self):
        assert choose_device("cpu", NEW, "linux") == "cpu"

    @pytest.mark.parametrize(
        ("asked", "driver", "system"),
        [("cuda", None, "linux"), ("cuda", NEW, "darwin"), ("mps", None, "linux")],
    )
    def test_an_impossible_device_is_refused_with_a_way_out(self, asked, driver, system):
        with pytest.raises(InstallError, match="leave out|give"):
            choose_device(asked, driver, system)


class TestDriver:
    def test_reads_the_table_and_the_oldest_card(self):
        assert parse_driver(SMI, "8.9\n7.0\n") == Driver((13, 0), (7, 0))

    def test_reads_the_wording_of_newer_drivers(self):
        assert parse_driver("CUDA UMD Version: 13.2", "9.0").cuda == (13, 2)

    @pytest.mark.parametrize(("summary", "cards"), [("", ""), (SMI, ""), ("NVIDIA-SMI has failed", "8.9")])
    def test_is_none_where_something_is_missing(self, summary, cards):
        assert parse_driver(summary, cards) is None

    def test_old_cards_get_the_older_build_even_with_a_new_driver(self):
        assert cuda_variant(NEW) == "cu130"
        assert cuda_variant(OLD) == "cu126"
        assert cuda_variant(Driver((13, 0), (6, 1))) == "cu126"
        assert cuda_variant(Driver((11, 8), (8, 6))) is None


class TestTorchAttempts:
    def test_on_linux_no_attempt_for_cpu_can_take_a_cuda_build(self):
        attempts = torch_attempts("2.13.0", "cpu", None, "linux")
        assert [attempt[0] for attempt in attempts] == ["torch==2.13.0+cpu"] * 2

    def test_the_users_own_pip_configuration_comes_first(self):
        for device, driver in (("cpu", None), ("cuda", NEW)):
            first, second = torch_attempts("2.13.0", device, driver, "linux")[:2]
            assert len(first) == 1
            assert second[1] == "--extra-index-url"
            assert second[2].startswith("https://download.pytorch.org/whl/c")

    def test_cuda_follows_the_driver(self):
        assert torch_attempts("2.13.0", "cuda", OLD, "linux")[0] == ["torch==2.13.0+cu126"]
        assert torch_attempts("2.13.0", "cuda", NEW, "linux")[-1] == ["torch==2.13.0"]
        assert ["torch==2.13.0"] not in torch_attempts("2.13.0", "cuda", OLD, "linux")

    @pytest.mark.parametrize(("system", "device"), [("darwin", "mps"), ("darwin", "cpu"), ("win32", "cpu")])
    def test_where_the_package_index_has_the_right_build_it_is_taken(self, system, device):
        assert torch_attempts("2.13.0", device, None, system) == [["torch==2.13.0"]]

    def test_a_build_is_judged_by_what_torch_says_of_itself(self):
        assert fits("cpu", None)
        assert fits("mps", None)
        assert fits("cuda", "13.0")
        assert not fits("cpu", "13.0")
        assert not fits("cuda", None)

    def test_the_release_is_the_one_of_pyproject(self):
        assert f'"torch=={paths.torch_release()}"' in (REPOSITORY / "pyproject.toml").read_text()


class TestMachines:
    @pytest.mark.parametrize(("machine", "release"), [("x86_64", "15.1"), ("x86_64", "12.7"), ("arm64", "13.6.1")])
    def test_one_that_pytorch_has_no_build_for_is_refused_with_a_way_out(self, machine, release):
        with pytest.raises(NoTorchError, match="Apple-silicon Mac with macOS 14 or newer.* on another machine"):
            check_machine("darwin", machine, release)

    @pytest.mark.parametrize("release", ["14.0", "15.1", "26.0", "10.16"])  # the last one told to Pythons for old Macs
    def test_all_others_are_not(self, release):
        check_machine("darwin", "arm64", release)
        check_machine("linux", "x86_64", "")

    def test_a_python_for_windows_on_arm_is_told_which_one_to_take(self):
        with pytest.raises(InstallError, match="64-bit x86 Python"):
            check_machine("win32", "ARM64", "", "win-arm64")
        check_machine("win32", "ARM64", "", "win-amd64")

    def test_there_the_add_on_is_installed_alone(self, monkeypatch):
        def refuse(device):
            raise NoTorchError("no build")

        installed = []
        monkeypatch.setattr(environment, "ensure", refuse)
        monkeypatch.setattr(extension, "install", lambda *arguments, **named: installed.append((arguments, named)))
        options = types.SimpleNamespace(device="auto", blender=None)
        assert install.blender(options, []) == 0
        assert installed == [((interpreters.base_python(), None), {"with_server": False})]
        with pytest.raises(NoTorchError):
            install.serve(options, [])


class TestProgress:
    def test_shows_what_pip_downloads_and_how_far_it_is(self):
        name, text = console.progress_text("Downloading torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl (191.1 MB)", "")
        assert name.startswith("torch-2.13.0")
        assert "downloading torch" in text
        assert console.progress_text("Progress 50000000 of 200000000", name)[1].endswith("50 of 200 MB")

    def test_counts_compiled_files(self):
        assert console.progress_text("[3/13] c++ -MMD ...", "")[1] == "compiled 3 of 13 files"

    def test_says_nothing_of_other_lines(self):
        assert console.progress_text("Requirement already satisfied: numpy", "x") == ("x", "")


class TestRun:
    def test_returns_the_last_lines_and_keeps_a_log(self, tmp_path, capsys):
        log = tmp_path / "log.txt"
        assert console.run([sys.executable, "-c", "print('hello')"], "Greeting", log=log) == "hello"
        assert log.read_text() == "hello\n"
        assert "Greeting: done" in capsys.readouterr().out

    def test_a_failure_carries_the_programs_words(self):
        with pytest.raises(CommandFailed, match="Breaking failed") as caught:
            console.run([sys.executable, "-c", "print('no luck'); raise SystemExit(3)"], "Breaking")
        assert "no luck" in caught.value.tail

    def test_what_a_python_prints_arrives_whatever_the_systems_encoding(self, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "latin-1")  # as Windows' code pages: not UTF-8
        program = [sys.executable, "-c", "print('C:/Users/J\xfcrgen')"]
        assert console.try_run(program).strip() == "C:/Users/J\xfcrgen"
        assert console.run(program, "Greeting") == "C:/Users/J\xfcrgen"

    def test_what_the_caller_adds_to_the_environment_is_added(self, monkeypatch):
        monkeypatch.setenv("KEPT", "kept")
        program = "import os; print(os.environ['KEPT'], os.environ['ADDED'])"
        assert console.run([sys.executable, "-c", program], "Greeting", env={"ADDED": "added"}) == "kept added"

    @pytest.mark.parametrize(("columns", "width"), [(80, 79), (10, 20)])
    def test_progress_fits_the_terminal(self, monkeypatch, columns, width):
        terminal = io.StringIO()
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("COLUMNS", str(columns))
        console.run([sys.executable, "-c", "import time; time.sleep(0.3)"], "x" * 200)
        shown = terminal.getvalue().split("\r")[1:-1]
        assert shown and {len(line) for line in shown} == {width}

    def test_a_program_that_does_not_start_is_a_sentence(self):
        with pytest.raises(CommandFailed, match="Greeting failed: /nowhere/to/be/found does not start"):
            console.run(["/nowhere/to/be/found"], "Greeting")

    def test_a_program_that_is_not_there_is_no_answer(self):
        assert console.try_run(["/nowhere/to/be/found"]) is None
        assert console.try_run([sys.executable, "-c", "raise SystemExit(1)"]) is None


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", "no such package"),
        ("NewConnectionError: Connection refused\nERROR: No matching distribution found", "network"),
        ("PermissionError: [Errno 13] Permission denied: '/usr/lib'", "could not be written"),
        ("OSError: [Errno 2]\nHINT: ... since this system does not have Windows Long Path support", "C:\\scanpick"),
        ("OSError: [WinError 5] Access is denied: 'C:\\x\\_zmq.pyd'", "close Blender and the server"),
        ("PermissionError: [WinError 32] The process cannot access the file", "close Blender and the server"),
        ("something else", "install.log"),
    ],
)
def test_pips_failures_become_sentences(tail, says):
    assert says in environment.explain(tail)


class TestEnvironment:
    """Of a package `scanpick` that asks for something on old Pythons and something else for its tests."""

    @pytest.fixture
    def whole(self, tmp_path, monkeypatch):
        folder = tmp_path / "scanpick-0.dist-info"
        folder.mkdir()
        needs = ["numpy>=1", "not-there-a; python_version < '3.0'", "not-there-b; extra == 'studio'"]
        metadata = ["Metadata-Version: 2.1", "Name: scanpick", "Version: 0", *(f"Requires-Dist: {n}" for n in needs)]
        (folder / "METADATA").write_text("\n".join(metadata), encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        digest = hashlib.sha256((REPOSITORY / "pyproject.toml").read_bytes()).hexdigest()
        return lambda *extras: environment.is_whole(
            Path(sys.executable), {"pyproject": digest, "extras": list(extras)}, extras
        )

    def test_what_another_python_would_need_is_not_missing(self, whole):
        assert whole()

    def test_what_an_extra_needs_is(self, whole):
        assert not whole("studio")

    def test_a_python_that_does_not_start_makes_none_and_says_so(self, tmp_path):
        with pytest.raises(InstallError, match="could not be made with .*gone"):
            environment.make_venv(tmp_path / "gone", tmp_path / "venv")

    def test_microsofts_store_python_is_refused(self, monkeypatch):
        monkeypatch.setattr(interpreters.sys, "platform", "win32")
        store = (
            "C:\\Users\\anna\\AppData\\Local\\Microsoft\\WindowsApps\\PythonSoftwareFoundation.Python.3.11\\python.exe"
        )
        monkeypatch.setattr(sys, "_base_executable", store)
        with pytest.raises(InstallError, match="Microsoft Store's Python.* python.org"):
            environment.ensure()
        monkeypatch.setattr(sys, "_base_executable", "C:\\Python311\\python.exe")
        assert not interpreters.is_from_microsofts_store()

    @pytest.mark.parametrize(("system", "way_out"), [("linux", "delete .*venv"), ("win32", "vc_redist.x64.exe")])
    def test_a_torch_that_does_not_start_is_told_from_one_of_another_build(
        self, tmp_path, monkeypatch, system, way_out
    ):
        (tmp_path / "torch.py").write_text("print('Loading')\nraise OSError('c10.dll or one of its dependencies')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(environment, "pip_install", lambda *arguments: None)
        monkeypatch.setattr(environment, "sys", types.SimpleNamespace(platform=system))
        with pytest.raises(InstallError, match=f"does not start .OSError: c10.dll or one of .*{way_out}"):
            environment._install_torch(Path(sys.executable), "cpu", None)

    def test_a_changed_pyproject_is_not_whole(self, whole):
        assert not environment.is_whole(Path(sys.executable), {"pyproject": "other", "extras": []}, ())


class TestBlender:
    @pytest.mark.parametrize(
        ("text", "version"),
        [
            ("Blender 5.2.1 LTS\n\tbuild date", (5, 2, 1)),
            ("Blender 4.2\n", (4, 2, 0)),
            ("bash: no\n", None),
            ("", None),
        ],
    )
    def test_reads_its_version(self, text, version):
        assert extension.parse_version(text) == version

    def test_a_zip_fits_from_its_first_release_up_to_its_end(self, tmp_path):
        file = tmp_path / "addon.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("blender_manifest.toml", 'blender_version_min = "4.2.0"\nblender_version_max = "5.1.0"\n')
        bounds = extension.manifest_range(file)
        assert [extension.fits(bounds, v) for v in ((4, 1, 0), (4, 2, 0), (5, 0, 9), (5, 1, 0))] == [
            False,
            True,
            True,
            False,
        ]
        assert extension.fits(((5, 1, 0), None), (6, 0, 0))

    def test_what_desktops_and_tools_leave_in_the_folders_is_not_in_the_zip(self, tmp_path):
        for name in ("a.py", "ui/b.py", ".DS_Store", "ui/._b.py", "ui/Thumbs.db", ".idea/x", "__pycache__/a.pyc"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert build_extension._sources(tmp_path) == [tmp_path / "a.py", tmp_path / "ui" / "b.py"]

    def test_wheels_are_kept_whole_or_not_at_all(self, tmp_path, monkeypatch):
        def download(python, target, folder):
            folder.mkdir(exist_ok=True)
            (folder / f"pyzmq-{python}.whl").touch()
            if python == "3.14" and broken:
                raise build_extension.BuildError("no network")

        monkeypatch.setattr(build_extension, "_download", download)
        series, broken = build_extension.SERIES[1], True
        with pytest.raises(build_extension.BuildError, match="no network"):
            build_extension.fetch_wheels(series, "linux-x64", tmp_path)
        assert not list(tmp_path.iterdir())
        broken = False
        names = [wheel.name for wheel in build_extension.fetch_wheels(series, "linux-x64", tmp_path)]
        assert names == ["pyzmq-3.13.whl", "pyzmq-3.14.whl"]
        monkeypatch.setattr(build_extension, "_download", None)
        assert len(build_extension.fetch_wheels(series, "linux-x64", tmp_path)) == 2

    def test_wheels_that_another_build_has_put_there_are_taken(self, tmp_path, monkeypatch):
        series, target = build_extension.SERIES[0], "linux-x64"
        place = tmp_path / "-".join((*build_extension.WHEELS, series.label, target))

        def download(python, target, folder):
            folder.mkdir()
            (folder / "slow.whl").touch()
            place.mkdir()
            (place / "fast.whl").touch()

        monkeypatch.setattr(build_extension, "_download", download)
        assert build_extension.fetch_wheels(series, target, tmp_path) == [place / "fast.whl"]

    def test_a_cache_that_cannot_be_written_is_a_sentence(self, tmp_path):
        (tmp_path / "cache").touch()
        with pytest.raises(build_extension.BuildError, match="could not be kept"):
            build_extension.fetch_wheels(build_extension.SERIES[0], "linux-x64", tmp_path / "cache")

    def test_a_blender_that_does_not_start_is_refused(self, tmp_path):
        fake = tmp_path / "blender"
        fake.write_text("#!/bin/sh\necho this is no blender\n")
        fake.chmod(0o755)
        assert extension.blender_version(fake) is None

    def test_the_oldest_and_the_newest_have_environments(self):
        assert [wheel.series for wheel in bpy_environments.WHEELS] == ["4.2", "5.2"]
        assert bpy_environments.WHEELS[0].requirements == ["bpy==4.2.23", "numpy<2"]

    def test_an_environment_that_is_not_there_is_told_from_one_that_lacks_something(self, tmp_path):
        wheel = bpy_environments.WHEELS[0]
        assert bpy_environments.missing_distributions(tmp_path / "python", wheel) is None
        missing = bpy_environments.missing_distributions(Path(sys.executable), wheel, ("pytest", "no-such-thing"))
        assert missing == ["bpy==4.2.23", "numpy<2", "no-such-thing"]

    def test_an_environment_that_was_interrupted_while_it_was_made_is_made_anew(self, tmp_path):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "half")], check=True)
        wheel = bpy_environments.WHEELS[0]
        assert bpy_environments.missing_distributions(venv_python(tmp_path / "half"), wheel) is None

    def test_in_ci_no_environment_may_be_left_out(self, monkeypatch):
        def refuse(wheel, extra):
            raise InstallError("no such Python")

        monkeypatch.setattr(bpy_environments, "environment", refuse)
        monkeypatch.delenv("CI", raising=False)
        assert bpy_environments.all_environments() == ({}, {"4.2": "no such Python", "5.2": "no such Python"})
        monkeypatch.setenv("CI", "true")
        with pytest.raises(InstallError, match="no such Python"):
            bpy_environments.all_environments()

    def test_a_window_is_taken_from_the_environment_first(self, monkeypatch):
        monkeypatch.setenv("SCANPICK_BLENDER", "/opt/blender/blender")
        assert testing.window_blender() == Path("/opt/blender/blender")


class TestPaths:
    def test_the_cache_is_where_the_user_says(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SCANPICK_CACHE", str(tmp_path / "mine"))
        assert paths.cache_folder() == tmp_path / "mine"
        assert (tmp_path / "mine").is_dir()

    def test_a_cache_that_cannot_be_written_is_a_sentence(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SCANPICK_CACHE", str(tmp_path / "file"))
        with pytest.raises(InstallError, match="SCANPICK_CACHE"):
            paths.cache_folder()

    def test_this_python_is_found_by_its_version(self):
        assert interpreters.find_python(sys.version_info[:2]) is not None
        assert interpreters.find_python((3, 99)) is None

    def test_windows_pythons_of_pyenv_and_uv_are_found(self, tmp_path, monkeypatch):
        system = types.SimpleNamespace(platform="win32", version_info=(3, 14), executable="python.exe")
        monkeypatch.setattr(interpreters, "sys", system)
        monkeypatch.setattr(interpreters.shutil, "which", lambda name: None)
        monkeypatch.setattr(Path, "home", lambda: tmp_path)
        monkeypatch.delenv("PYENV_ROOT", raising=False)
        monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
        pyenv, uv = tmp_path / ".pyenv" / "pyenv-win" / "versions", tmp_path / "Roaming" / "uv" / "python"
        folders = [pyenv / "3.11.9", uv / "cpython-3.11.4-windows-x86_64-none"]
        for folder in [*folders, pyenv / "3.11.9-win32", uv / "cpython-3.11.9-windows-x86-none", pyenv / "3.13.1"]:
            folder.mkdir(parents=True)
            (folder / "python.exe").touch()
        assert {Path(python).parent for (python,) in interpreters._candidates("3.11")} == set(folders)

    def test_the_base_python_is_none_of_a_virtual_environment(self):
        ask = "import sys; print(sys.prefix == sys.base_prefix, '%d.%d' % sys.version_info[:2])"
        said = subprocess.run([interpreters.base_python(), "-c", ask], capture_output=True, text=True).stdout
        assert said.split() == ["True", "{}.{}".format(*sys.version_info[:2])]


class TestMinkowski:
    def test_the_patch_mends_pythons_and_cudas_imports(self, tmp_path):
        for name in minkowski._CUDA_INCLUDES:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("// code\n")
        package = tmp_path / "MinkowskiEngine"
        package.mkdir()
        (package / "a.py").write_text("from collections import Sequence\nimport numpy\n")
        (package / "b.py").write_text("from collections import Sequence, namedtuple\n")
        minkowski.patch(tmp_path)
        for file in package.glob("*.py"):
            exec(compile(file.read_text().replace("import numpy", ""), file.name, "exec"), {})
        assert (tmp_path / "src/spmm.cu").read_text().startswith("#include <thrust/")

    def test_the_build_cannot_uninstall_anything(self, tmp_path):
        variables = minkowski._build_environment(tmp_path)
        done = subprocess.run(
            ["pip", "uninstall", "-y", "pytest"], env={**os.environ, **variables}, capture_output=True
        )
        assert done.returncode == 0
        assert done.stdout == b""
        assert pytest.__version__ == __import__("importlib.metadata").metadata.version("pytest")


class TestCommandLine:
    def install(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(REPOSITORY / "install.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY.anchor)

    def test_help_names_the_five_commands(self):
        done = self.install("--help")
        assert done.returncode == 0
        for command in ("demo", "test", "blender", "serve", "minkowski"):
            assert command in done.stdout

    def test_what_the_console_can_not_show_does_not_end_it(self):
        command, ascii_only = [sys.executable, "-c", SAYS_A_NAME], {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, capture_output=True, cwd=REPOSITORY, env=ascii_only)
        assert (done.returncode, done.stdout.strip()) == (0, b"C:/J?rgen"), done.stderr

    def test_an_unknown_option_is_refused(self):
        done = self.install("demo", "--scna", "x.ply")
        assert done.returncode == 2
        assert "--scna" in done.stderr

    @pytest.mark.skipif(sys.platform == "win32", reason="ends processes without asking them")
    def test_what_is_told_to_end_takes_its_program_along(self):
        command = [sys.executable, "-c", SERVES_ANOTHER_PROGRAM]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
            program_pid = int(process.stdout.readline())
            process.terminate()
            assert process.wait(10) == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.kill(program_pid, 0)

    @pytest.mark.skipif(sys.platform == "win32", reason="has no groups of processes to tell")
    @pytest.mark.parametrize(
        ("patience", "again", "said"), [(15, False, "finished\n"), (15, True, ""), (0.3, False, "")]
    )
    def test_ctrl_c_lets_its_program_finish_and_a_second_one_or_patience_ends_it(self, patience, again, said):
        command = [sys.executable, "-c", FINISHES_FIRST, str(patience)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, **pipes) as process:
            assert process.stdout.readline() == "runs\n"
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the program as well
            if again:
                time.sleep(0.5)
                os.killpg(process.pid, signal.SIGINT)
            assert process.stdout.read() == said
            assert process.wait(10) == 130
            assert "Stopped" in process.stderr.read()

    def test_install_needs_the_standard_library_only(self):
        code = "import install, sys; print([m for m in ('numpy', 'typer', 'torch', 'rich') if m in sys.modules])"
        done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
        assert done.stdout.strip() == "[]", done.stderr
