"""From paths on the command line to scenes that can be loaded: scan files and data sets."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from inference_server.data import s3dis, scannet, semantickitti
from inference_server.data.formats import READERS
from inference_server.data.scans import Scan, read_scan
from inference_server.errors import UserError

RESULTS = "results.csv"
"""Table that an evaluation writes, in the folder of the scans where it is told so."""
DATASETS = {"scannet": scannet, "s3dis": s3dis, "semantickitti": semantickitti}
"""Kind -> module with `find(path) -> list[Path]` (empty for another layout) and `read(path) -> Scan`."""


@dataclass(frozen=True)
class SceneSource:
    """A scene to be loaded: what kind of thing lies at `path`, and its name in tables (unique in a run).

    asked_for: whether it was named itself, and not only a folder that it lies in among others.
    """

    kind: str
    path: Path
    name: str
    asked_for: bool = True

    @property
    def size(self) -> int:
        """Bytes of its files together."""
        return sum(file.stat().st_size for file in self._files())

    @property
    def changed(self) -> int:
        """When one of its files was changed last, in nanoseconds."""
        return max((file.stat().st_mtime_ns for file in self._files()), default=0)

    def _files(self) -> list[Path]:
        if self.kind == "semantickitti":
            labels = semantickitti.label_file(self.path)
            return [file for file in (self.path, labels, semantickitti.names_file(labels)) if file.exists()]
        if self.path.is_file():
            return [self.path]
        return [file for file in self.path.rglob("*") if file.is_file()]

    def load(self) -> Scan:
        """Read it; the scan takes this source's name. Raises UserError."""
        scan = read_scan(self.path) if self.kind == "file" else DATASETS[self.kind].read(self.path)
        scan.name = self.name
        return scan


def find_scenes(paths: list[Path]) -> list[SceneSource]:
    """Scenes of all paths in order, each file once, links as they are named: what belongs to a scene lies beside them.

    A path is a scan file, a folder of ScanNet, S3DIS or SemanticKITTI (the whole set, a part, or one scene),
    or a folder of scan files. Raises UserError where a path holds no scene.
    """
    found: dict[tuple[str, Path], tuple[Path, bool]] = {}
    for path in paths:
        for kind, scene in _scenes_at(Path(path)):
            key = kind, scene.resolve()
            first, asked_for = found.get(key, (_named_place(kind, scene), False))
            found[key] = first, asked_for or kind != "file" or Path(path).is_file()
    names = _short_names([path for path, _ in found.values()])
    return [
        SceneSource(kind, path, name, asked_for)
        for ((kind, _), (path, asked_for)), name in zip(found.items(), names, strict=True)
    ]


def _named_place(kind: str, scene: Path) -> Path:
    """Where a scene is read: as it was named, links not followed, but where only their target is what it takes."""
    named = scene.resolve() if ".." in scene.parts else scene.absolute()
    if kind == "file" and named.suffix.lower() not in READERS:
        return scene.resolve()
    if kind == "semantickitti" and not semantickitti.label_file(named).exists():
        return scene.resolve()
    return named


def _scenes_at(path: Path) -> list[tuple[str, Path]]:
    if not path.exists():
        raise UserError(f"There is nothing at {path}.")
    if path.is_file():
        if path.suffix == ".bin":
            return [("semantickitti", path)]
        return [("file", path)]
    for kind, module in DATASETS.items():
        scenes = module.find(path)
        if scenes:
            return [(kind, scene) for scene in scenes]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS and not _is_foreign(file))
    if not files:
        raise UserError(
            f"{path} holds no scans: give PLY files, a folder of them, or a folder of ScanNet, S3DIS or "
            "SemanticKITTI in its original layout."
        )
    return [("file", file) for file in files]


def passed_over(paths: list[Path]) -> list[Path]:
    """Folders of data sets that are not evaluated, since a path is the folder around them and has scan files too."""
    around = [path for path in paths if path.is_dir() and _scenes_at(path)[0][0] == "file"]
    folders = [folder for path in around for folder in sorted(path.iterdir()) if folder.is_dir()]
    return [
        folder
        for folder in folders
        if not folder.name.startswith(".") and any(module.find(folder) for module in DATASETS.values())
    ]


def _is_foreign(file: Path) -> bool:
    """Hidden files, and what an evaluation wrote there."""
    return file.name.startswith(".") or file.name == RESULTS


def _short_names(paths: list[Path]) -> list[str]:
    """The file names without extension, or with it where that tells files of a folder apart, and with as many folders
    before them as it takes to tell them apart."""
    stems = Counter((path.parent, path.stem) for path in paths)
    short = [path.name if stems[path.parent, path.stem] > 1 or not path.is_file() else path.stem for path in paths]
    names = short
    for depth in range(1, max((len(path.parts) for path in paths), default=0)):
        count = Counter(names)
        if len(count) == len(names):
            break
        names = [
            "/".join((*path.parts[-1 - depth : -1], own)) if count[name] > 1 else name
            for name, path, own in zip(names, paths, short, strict=True)
        ]
    return names
