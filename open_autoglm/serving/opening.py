"""Opens what is to be served: the models by name, an index, the cache that they remember in, and rollouts.

It knows bundles, indexes and caches, and in what order jobs pass through; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle import Bundle
from ..cache import CacheSettings, open_cache, remembering
from ..cache.model import DEFAULT_TENANT
from ..search import Index
from .caller import Caller
from .fleet import Fleet
from .remembered import RememberedModels
from .rollout import Rollout, Store
from .settings import Settings
from .telemetry import Telemetry
from .work import Models

if TYPE_CHECKING:
    from ..runtime.model import Model

BASE = "open-autoglm-base"
COMPARED = 200  # pictures of the index that versions of a model rank
ModelOf = Callable[[str, str], "Model"]  # by the name it is served under, as a tenant is to have it
Running = Callable[[], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True)
class Opened:
    """What an application is made of beside its settings.

    ``models`` answers the jobs of requests; ``index_model`` gives what an index works with; ``bundle`` gives that
    of a model, whose tokenizer counts. ``running`` are entered, in order, while the application's event loop runs.
    """

    index: Index | None
    models: Models
    index_model: ModelOf
    bundle: Callable[[str], Bundle | None] = lambda name: None
    running: Sequence[Running] = ()
    telemetry: Telemetry = field(default_factory=Telemetry)
    rollout: Rollout | None = None


@contextmanager
def opened(path: Path | None, settings: Settings, cache: str | None, say: Callable[[str], None]) -> Iterator[Opened]:
    """All that is served, until it is left; ``say`` is told what is wrong with the cache.

    An index works with the served model of its space; where there is none, its own is served, too. Without a model and
    an index the base model is served. Raises BundleError, IndexStoreError, SettingError.
    """
    with ExitStack() as stack:
        telemetry = Telemetry(settings.telemetry)
        stack.callback(telemetry.close)
        index = stack.enter_context(Index.open(path)) if path is not None else None
        fleet = _fleet(index, settings, telemetry)
        memory = open_cache(CacheSettings.read(cache))
        if memory is not None:
            stack.enter_context(memory)
            telemetry.watch_cache(memory)
            for complaint in memory.complaints():
                say(complaint)

        def version(name: str) -> str:
            return rollout.versions.live(name, "embeddings")

        def exactly(name: str, tenant: str) -> Model:
            model = fleet.model(name, Caller(tenant, "", frozenset()))
            return model if memory is None else remembering(model, memory, tenant)

        def of(name: str, tenant: str) -> Model:
            return exactly(version(name), tenant)

        answering: Models = fleet if memory is None else RememberedModels(fleet, exactly)
        store = Store(settings.rollout.file)
        stack.callback(store.close)
        rollout = Rollout(
            telemetry.watch_models(answering), store, settings.rollout, fleet, lambda: _pictures(index), fleet
        )
        if index is not None:
            space = index.info()["space"]
            name = next(one.name for one in rollout.served if one.space == space)
            index.use(of(name, DEFAULT_TENANT))
        running: list[Running] = [fleet.running, lambda: rollout]
        yield Opened(index, rollout, of, lambda name: fleet.bundles.get(version(name)), running, telemetry, rollout)


def _fleet(index: Index | None, settings: Settings, telemetry: Telemetry) -> Fleet:
    """The models that are asked for, and the index's own where none of them is of its space."""
    bundles: dict[str, str | Path] = dict(settings.models)
    if index is not None:
        space = index.info()["space"]
        if not any(Bundle.open(bundle).manifest.space == space for bundle in bundles.values()):
            bundles.setdefault(index.model.name, index.model.bundle.path)
    return Fleet(bundles or {BASE: BASE}, settings.workers, telemetry, settings.limits)


def _pictures(index: Index | None) -> list[bytes]:
    """Some pictures of the index, which versions of a model are to rank."""
    found = []
    for record in index.sample(COMPARED) if index is not None else ():
        with suppress(OSError):  # one that was moved meanwhile
            found.append(record.file.read_bytes())
    return found
