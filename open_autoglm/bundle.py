"""The bundle: one directory that holds a model, its graphs, preprocessing, calibration and provenance.

This module alone finds, reads, verifies and writes bundles; it knows nothing about running a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import BundleError
from .manifest import FORMAT, WEIGHTS, Graph, Manifest, SharedTensor, parse_manifest
from .weights import Weights

__all__ = ["MANIFEST", "WEIGHTS", "Bundle", "Graph", "Manifest", "SharedTensor", "find_bundle", "seal", "writing"]

MANIFEST = "manifest.json"


class Bundle:
    """An opened bundle: ``path``, ``manifest``, and its tensors."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._tensors: dict[str, Weights] = {}

    @classmethod
    def open(cls, name: str | os.PathLike[str]) -> Bundle:
        """Opens a bundle by directory or by the name of a shipped one; checks that every file is there at its size.

        Raises BundleError when it is missing, damaged, foreign or newer than this program.
        """
        path = find_bundle(name)
        if path is None:
            shipped = ", ".join(shipped_bundles()) or "none is installed"
            raise BundleError(f"There is no bundle {name}: give a bundle's directory or a shipped name ({shipped}).")
        manifest = read_manifest(path)
        for file, facts in manifest.files.items():
            problem = size_problem(path / file, facts)
            if problem:
                raise BundleError(f"The bundle {path} is damaged: {problem}; copy it again.")
        bundle = cls(path, manifest)
        bundle._check_tensors()
        return bundle

    def _check_tensors(self) -> None:
        """Refuses a calibration or a similarity whose tensor does not lie in the space."""
        width = self.manifest.dimension
        calibration, similarity = self.manifest.calibration, self.manifest.similarity
        named = (
            ("the calibration's reference", calibration.get("reference"), False),
            ("the similarity's matrix", similarity.get("matrix"), True),
        )
        for what, name, square in named:
            if name is None:
                continue
            try:
                weights = self.weights
            except BundleError:  # opened all the same, so that verify can name what is damaged
                return
            shape = weights.shape(name)
            wanted = f"[{width}, {width}]" if square else f"[n, at most {width}]"
            fits = shape == (width, width) if square else len(shape) == 2 and shape[0] > 0 and 0 < shape[1] <= width
            if not fits:
                raise BundleError(
                    f"{self.path / MANIFEST} is damaged ({what} {name} has the shape {shape} instead of {wanted}); "
                    "copy the bundle again."
                )

    @cached_property
    def weights(self) -> Weights:
        """The tensors of ``model.safetensors``."""
        return self.tensors(WEIGHTS)

    def tensors(self, file: str) -> Weights:
        """The tensors of one of its safetensors files, opened once."""
        if file not in self._tensors:
            self._tensors[file] = Weights(self.path / file)
        return self._tensors[file]

    def graph(self, task: str, precision: str | None = None) -> Graph:
        """The graph of a task, of the given precision or else the one that the bundle prefers."""
        precisions = self.manifest.graphs.get(task)
        if not precisions:
            raise BundleError(f"The bundle {self.path} has no graph for {task}; export the model again.")
        preferred = (*self.manifest.precisions, *precisions)
        chosen = precision or next(name for name in preferred if name in precisions)
        if chosen not in precisions:
            known = ", ".join(precisions)
            raise BundleError(f"The bundle {self.path} has no {chosen} graph for {task}; it has {known}.")
        if not precisions[chosen].parity:
            raise BundleError(f"The {chosen} graph for {task} in {self.path} has no parity record; export it again.")
        return precisions[chosen]

    def verify(self) -> list[str]:
        """What is wrong with the files, a sentence each, by size, sha256 and presence; empty when all is sound."""
        problems = []
        for file, facts in self.manifest.files.items():
            problem = size_problem(self.path / file, facts)
            try:
                if problem is None and sha256(self.path / file) != facts["sha256"]:
                    problem = f"{file} has changed since it was written"
            except OSError as error:
                problem = f"{file} cannot be read: {error.strerror}"
            if problem:
                problems.append(problem)
        known = {MANIFEST, *self.manifest.files}
        problems += [f"{file} is not part of the bundle" for file in files_below(self.path) if file not in known]
        return problems

    def describe(self) -> dict[str, Any]:
        """The manifest's facts for a reader, without the list of shared tensors."""
        manifest = self.manifest
        return {
            "name": manifest.name,
            "path": str(self.path),
            "space": manifest.space,
            "dimension": manifest.dimension,
            "views": manifest.views,
            "similarity": manifest.similarity["kind"],
            "bytes": sum(int(facts["size"]) for facts in manifest.files.values()),
            "graphs": {
                f"{task}.{precision}": {"file": graph.file, "parity": dict(graph.parity)}
                for task, precisions in manifest.graphs.items()
                for precision, graph in precisions.items()
            },
            "preprocessing": dict(manifest.preprocessing),
            "quality": dict(manifest.quality),
            "sources": [dict(source) for source in manifest.sources],
        }


def shipped_folder() -> Path:
    """Where shipped bundles lie: in the package of an installed wheel, beside it in a checkout."""
    installed = Path(__file__).parent / "models"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "models"


def shipped_bundles() -> list[str]:
    """The names of the shipped bundles."""
    return sorted(path.parent.name for path in shipped_folder().glob(f"*/{MANIFEST}"))


def find_bundle(name: str | os.PathLike[str]) -> Path | None:
    """The directory of a bundle, None where there is none; a bare name is first that of a shipped one.

    ``./name`` is always the directory. Raises BundleError for an empty name.
    """
    given = os.fspath(name)
    if not given:
        raise BundleError("The bundle's name is empty: give a bundle's directory or a shipped name.")
    path = Path(given)
    if given == path.name and given in shipped_bundles():
        return shipped_folder() / given
    return path if path.is_dir() else None


def read_manifest(path: Path) -> Manifest:
    """The checked manifest of the directory ``path``."""
    try:
        fields = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{path} is not an Open-AutoGLM bundle: it has no {MANIFEST}; "
            "a Hugging Face checkpoint becomes one with 'autoglm import'."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path / MANIFEST} cannot be read ({error}); copy the bundle again.") from error
    found = fields.get("format") if isinstance(fields, dict) else None
    if type(found) is int and found > FORMAT:
        raise BundleError(
            f"{path} has bundle format {found}, newer than this program's {FORMAT}: upgrade open-autoglm."
        )
    if type(found) is not int or found != FORMAT:
        raise BundleError(f"{path} is not an Open-AutoGLM bundle: its {MANIFEST} has no format this program knows.")
    try:
        return parse_manifest(fields)
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST} is damaged ({error}); copy the bundle again.") from error


def check_target(target: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Where a bundle is to be written, absolute; BundleError where that is empty or holds something already."""
    if not os.fspath(target):
        raise BundleError("The bundle to write has an empty path: choose a directory.")
    path = Path(target).absolute()
    if path.exists() and not overwrite:
        raise BundleError(f"{path} exists already: choose another directory or remove it first.")
    return path


@contextmanager
def writing(target: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A fresh folder to fill; it takes the place of ``target`` at once when the block ends well, else it vanishes.

    Raises BundleError where the disk does not take it.
    """
    target = check_target(target, overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".bundle.", dir=target.parent))
    except OSError as error:
        raise BundleError(f"{target.parent} cannot be written: {error.strerror}; choose another directory.") from error
    try:
        yield folder
        if not (folder / MANIFEST).is_file():
            raise BundleError(f"{target} was not written: the bundle was never sealed.")
        folder.chmod(0o755)
        put_in_place(folder, target)
    except OSError as error:
        raise BundleError(f"{target} cannot be written: {error.strerror or error}; nothing was changed.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, target: Path) -> None:
    """Renames ``folder`` to ``target``; what was there goes, or comes back where the renaming fails."""
    if not target.exists():
        folder.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=".bundle.old.", dir=target.parent))
    old = aside / "bundle"
    try:
        target.rename(old)
        try:
            folder.rename(target)
        except BaseException:
            old.rename(target)
            raise
    except BaseException:
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def seal(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest of a filled folder, with the size and sha256 of every file in it."""
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in files_below(folder)
    }
    write_manifest(folder, replace(manifest, files=files))


def amend(path: Path, **changes: Any) -> None:
    """Changes facts in the manifest of a sealed bundle (``calibration``, ``quality``), all at once."""
    write_manifest(path, replace(read_manifest(path), **changes))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts ``manifest.json`` in place whole, or leaves the one that is there; BundleError where it says nonsense."""
    content = json.dumps(spelled(manifest), indent=1, ensure_ascii=False)
    try:
        parse_manifest(json.loads(content))
    except ValueError as error:
        raise BundleError(f"The manifest of {manifest.name} would be unusable: {error}.") from error
    fresh = folder / f".{MANIFEST}.new"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / MANIFEST)


def spelled(manifest: Manifest) -> dict[str, Any]:
    """A manifest as JSON has it; of the many shared tensors only what is not as usual."""
    fields: dict[str, Any] = {"format": manifest.format, **asdict(manifest)}
    usual = asdict(SharedTensor(""))
    for graph in (graph for precisions in fields["graphs"].values() for graph in precisions.values()):
        graph["weights"] = {
            name: {key: value for key, value in shared.items() if value != usual[key]}
            for name, shared in graph["weights"].items()
        }
    return fields


def files_below(folder: Path) -> list[str]:
    """Every file below a folder but the manifest, as POSIX paths relative to it, sorted."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.as_posix() != MANIFEST)


def size_problem(path: Path, facts: Mapping[str, Any]) -> str | None:
    """What is wrong with a file's presence or size, or None."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    return None if size == facts["size"] else f"{path.name} has {size} bytes instead of {facts['size']}"


def sha256(path: Path) -> str:
    """The hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
