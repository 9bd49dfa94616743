"""The model that an index belongs to: whether one fits, and where its bundle is found again.

It knows bundles' names and places; it knows nothing about pictures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..bundle import MANIFEST, read_manifest, shipped_folder
from ..errors import BundleError, SettingError, SpaceMismatch
from .records import shown_path

if TYPE_CHECKING:
    from ..runtime.model import Model
    from ..runtime.similarity import Queries


class Made(Protocol):
    """What a model made, an index or a dataset as its ``kind`` says; the model's name, space and bundle's place."""

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str | os.PathLike[str]: ...
    @property
    def model(self) -> str: ...
    @property
    def space(self) -> str: ...
    @property
    def bundle(self) -> str: ...


def check_model(model: object) -> None:
    """Raises SettingError for what is no model."""
    if not hasattr(model, "embed_prepared"):
        raise SettingError(f"A model was expected, not {type(model).__name__}: open one with open_autoglm.load(NAME).")


def check_space(store: Made, model: Model) -> None:
    """Raises SpaceMismatch unless the model's vectors can be compared with those that are stored."""
    if model.space != store.space:
        raise SpaceMismatch(
            f"The {store.kind} {shown_path(store.path)} was made with {store.model} (space {store.space}) and cannot "
            f"be used with {model.name} (space {model.space}): load {store.model}, or make a new {store.kind} with "
            f"{model.name}."
        )


def check_query(model: Model, query: Queries, count: int, dimension: int) -> None:
    """Raises BundleError unless a query is ``count`` vectors of ``dimension`` finite numbers."""
    if query.vectors.shape != (count, dimension):
        raise BundleError(
            f"{model.name} gives a vector of the shape {list(query.vectors.shape)}, the index has vectors of "
            f"{dimension} numbers: its bundle is damaged, copy it again."
        )
    if not np.isfinite(query.vectors).all():
        raise BundleError(
            f"{model.name} gives a vector for this query with what is no number: its bundle is damaged, copy it again."
        )


def own_model(store: Made) -> Model:
    """The model that made it: the shipped one of its name and space, or the one at the place noted."""
    from ..runtime.model import load

    try:
        # By its place, never by its name: a folder of that name may lie in the current directory.
        return load(_shipped(store) or store.bundle)
    except BundleError as error:
        raise BundleError(
            f"The {store.kind} {shown_path(store.path)} was made with {store.model}, which cannot be had from "
            f"{store.bundle}: say where it is with --model (in Python: Index.open(path, model)). {error}"
        ) from error


def place(model: Model) -> str:
    """Where a model's bundle lies."""
    return str(model.bundle.path.absolute())


def _shipped(store: Made) -> str | None:
    path = shipped_folder() / store.model
    if path.parent != shipped_folder() or not (path / MANIFEST).is_file():
        return None
    return str(path.absolute()) if read_manifest(path).space == store.space else None
