"""Opens what is to be served: the models by name, an index, and the cache that they remember in.

It knows bundles, indexes and caches; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle import Bundle
from ..cache import CacheSettings, PrefixCache, open_cache, remembering
from ..cache.model import DEFAULT_TENANT
from ..runtime.model import load
from ..search import Index
from .direct import Direct, ModelOf
from .settings import Settings
from .work import Models

if TYPE_CHECKING:
    from ..runtime.model import Model

BASE = "open-autoglm-base"


@dataclass(frozen=True)
class Opened:
    """What ``create_app`` is given beside the settings, and the cache that the models remember in."""

    index: Index | None
    models: Models
    index_model: ModelOf
    bundles: Mapping[str, Bundle]
    cache: PrefixCache | None


@contextmanager
def opened(path: Path | None, settings: Settings, cache: str | None, say: Callable[[str], None]) -> Iterator[Opened]:
    """All that is served, until it is left; ``say`` is told what is wrong with the cache.

    An index works with the served model of its space; where there is none, its own is served, too. Without a model and
    an index the base model is served. Raises BundleError, IndexStoreError, SettingError.
    """
    with ExitStack() as stack:
        models = {name: load(bundle, limits=settings.limits) for name, bundle in settings.models.items()}
        index = stack.enter_context(_index(path, models)) if path is not None else None
        if index is not None and index.model not in models.values():
            models.setdefault(index.model.name, index.model)
        if not models:
            models[BASE] = load(BASE, limits=settings.limits)
        memory = open_cache(CacheSettings.read(cache))
        if memory is not None:
            stack.enter_context(memory)
            for complaint in memory.complaints():
                say(complaint)

        def of(name: str, tenant: str) -> Model:
            return models[name] if memory is None else remembering(models[name], memory, tenant)

        if index is not None:
            name = next(name for name, model in models.items() if model.space == index.model.space)
            index.use(of(name, DEFAULT_TENANT))
        bundles = {name: model.bundle for name, model in models.items()}
        yield Opened(index, Direct(lambda: models, of), of, bundles, memory)


def _index(path: Path, models: Mapping[str, Model]) -> Index:
    index = Index.open(path)
    try:
        space = index.info()["space"]
        if (model := next((one for one in models.values() if one.space == space), None)) is not None:
            index.use(model)
    except BaseException:
        index.close()
        raise
    return index
