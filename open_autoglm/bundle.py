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
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import BundleError
from .weights import Weights

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class SharedTensor:
    """A graph's weight that lies in ``model.safetensors``: as float32, or as stored; transposed where asked."""

    tensor: str
    stored: bool = False
    transpose: bool = False


@dataclass(frozen=True)
class Graph:
    """An exported graph: its file, its inputs and outputs (name to ``dtype[shape]``), and where its weights lie.

    ``parity`` says how close it is to the model it came from; a graph without it is not run.
    """

    file: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    parity: Mapping[str, float]
    weights: Mapping[str, SharedTensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    ``space`` names the embedding space: vectors are comparable exactly when it is equal. ``graphs`` maps a task
    (``image``, ``text``) to its graphs by precision (``fp32``, ``int8``). ``files`` maps each file to its size in
    bytes and its sha256.
    """

    name: str
    space: str
    dimension: int
    views: int
    preprocessing: Mapping[str, Any]
    graphs: Mapping[str, Mapping[str, Graph]]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Mapping[str, str], ...] = ()
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    format: int = FORMAT


class Bundle:
    """An opened bundle: ``path``, ``manifest``, and its tensors."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

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
        return cls(path, manifest)

    @cached_property
    def weights(self) -> Weights:
        """The tensors of ``model.safetensors``."""
        return Weights(self.path / WEIGHTS)

    def graph(self, task: str, precision: str | None = None) -> Graph:
        """The graph of a task, of the given precision or else the smallest there is."""
        precisions = self.manifest.graphs.get(task)
        if not precisions:
            raise BundleError(f"The bundle {self.path} has no graph for {task}; export the model again.")
        chosen = precision or ("int8" if "int8" in precisions else next(iter(precisions)))
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
            if problem is None and sha256(self.path / file) != facts["sha256"]:
                problem = f"{file} has changed since it was written"
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
    """The directory of a bundle given by directory or shipped name; None where there is none."""
    path = Path(name)
    if path.is_dir():
        return path
    shipped = shipped_folder() / path
    return shipped if len(path.parts) == 1 and (shipped / MANIFEST).is_file() else None


def read_manifest(path: Path) -> Manifest:
    """The checked manifest of the directory ``path``."""
    try:
        fields = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{path} is not an Open-AutoGLM bundle: it has no {MANIFEST}; "
            "a Hugging Face checkpoint becomes one with 'autoglm import'."
        ) from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / MANIFEST} cannot be read ({error}); copy the bundle again.") from error
    found = fields.get("format") if isinstance(fields, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise BundleError(
            f"{path} has bundle format {found}, newer than this program's {FORMAT}: upgrade open-autoglm."
        )
    if found != FORMAT:
        raise BundleError(f"{path} is not an Open-AutoGLM bundle: its {MANIFEST} has no format this program knows.")
    try:
        manifest = parse_manifest(fields)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(f"{path / MANIFEST} is damaged ({error}); copy the bundle again.") from error
    named = [*manifest.files, *(graph.file for by in manifest.graphs.values() for graph in by.values())]
    for file in named:
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise BundleError(f"{path / MANIFEST} names the file {file}, outside the bundle: do not use this bundle.")
    return manifest


def parse_manifest(fields: Mapping[str, Any]) -> Manifest:
    """A manifest from its JSON; KeyError, TypeError or ValueError where it does not fit."""
    graphs = {
        task: {precision: parse_graph(graph) for precision, graph in precisions.items()}
        for task, precisions in fields["graphs"].items()
    }
    files = {
        str(name): {"size": int(facts["size"]), "sha256": str(facts["sha256"])}
        for name, facts in fields["files"].items()
    }
    return Manifest(
        name=str(fields["name"]),
        space=str(fields["space"]),
        dimension=int(fields["dimension"]),
        views=int(fields["views"]),
        preprocessing=dict(fields["preprocessing"]),
        graphs=graphs,
        calibration=dict(fields.get("calibration", {})),
        quality=dict(fields.get("quality", {})),
        sources=tuple(fields.get("sources", ())),
        files=files,
    )


def parse_graph(fields: Mapping[str, Any]) -> Graph:
    """A graph's entry from its JSON."""
    weights = {name: SharedTensor(**shared) for name, shared in fields.get("weights", {}).items()}
    return Graph(fields["file"], dict(fields["inputs"]), dict(fields["outputs"]), dict(fields["parity"]), weights)


@contextmanager
def writing(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """A fresh folder to fill; it takes the place of ``target`` at once when the block ends well, else it vanishes."""
    target = Path(target).absolute()
    if target.exists() and not overwrite:
        raise BundleError(f"{target} exists already: choose another directory or remove it first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BundleError(f"{target.parent} cannot be written: {error.strerror}; choose another directory.") from error
    try:
        yield folder
        if not (folder / MANIFEST).is_file():
            raise BundleError(f"{target} was not written: the bundle was never sealed.")
        folder.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
            target.rename(old / target.name)
            folder.rename(target)
            shutil.rmtree(old)
        else:
            folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    """Puts ``manifest.json`` in place whole, or leaves the one that is there."""
    fields = {"format": manifest.format, **asdict(manifest)}
    fresh = folder / f".{MANIFEST}.new"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / MANIFEST)


def files_below(folder: Path) -> list[str]:
    """Every file below a folder but the manifest, as POSIX paths relative to it, sorted."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.as_posix() != MANIFEST)


def size_problem(path: Path, facts: Mapping[str, Any]) -> str | None:
    """What is wrong with a file's presence or size, or None."""
    try:
        size = path.stat().st_size
    except OSError:
        return f"{path.name} is missing"
    return None if size == facts["size"] else f"{path.name} has {size} bytes instead of {facts['size']}"


def sha256(path: Path) -> str:
    """The hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
