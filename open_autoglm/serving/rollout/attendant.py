"""What a process does for rollouts beside its work: it tells what it saw, follows what was decided, and compares.

It knows the shared state and the models; it knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from ...errors import OpenAutoGLMError
from ..work import Models, UnknownModel
from . import control
from .figures import Seen
from .planning import Pictures, probe_of
from .settings import RolloutSettings
from .shadow import Shadow
from .state import Going, State
from .store import Store

_log = logging.getLogger(__name__)


class Loader(Protocol):
    """Models to which versions can be added while they answer."""

    async def load(self, name: str, bundle: str) -> None:
        """Serves a bundle under that name from now on. Raises OpenAutoGLMError, and leaves the others as they were."""

    async def unload(self, name: str) -> None:
        """Serves it no longer."""


class Attendant:
    """``state`` is what is known of the shared one, ``shadow`` what compares, while a rollout is under way."""

    def __init__(
        self,
        models: Models,
        store: Store,
        settings: RolloutSettings,
        loader: Loader | None,
        pictures: Pictures | None,
        busy: Callable[[], bool],
    ) -> None:
        self.state: State = store.state()
        self.shadow: Shadow | None = None
        self._models = models
        self._store = store
        self._settings = settings
        self._loader = loader
        self._pictures = pictures
        self._busy = busy
        self._loaded: set[str] = set()
        self._unusable: set[str] = set()
        self._missed: set[str] = set()
        self._comparing: asyncio.Task[None] | None = None
        self._attending = asyncio.Lock()

    async def watch(self) -> None:
        """Attends again and again until cancelled; a database that is locked or full is no reason to stop."""
        while True:
            await asyncio.sleep(self._settings.poll)
            try:
                await self.attend()
            except Exception:
                _log.exception("The rollout could not be attended to; it is tried again.")

    async def attend(self) -> None:
        """Tells what was seen, and follows the state that the rollout is then in."""
        async with self._attending:
            await self._tell()
            await self._load()
            self._say_who_is_missing()
            going = self.state.going
            if self._comparing and (going is None or self._comparing.get_name() != going.id):
                await self._stop()
            if going is None:
                return
            if going.candidate not in self._served():
                await self._go_back(going, "It is not served.")
            elif self._comparing is None:
                self._comparing = asyncio.create_task(self._compare(going), name=going.id)

    async def close(self) -> None:
        """Stops comparing, and tells what was seen until then."""
        async with self._attending:
            await self._tell()
            await self._stop()

    async def _stop(self) -> None:
        task, self._comparing, self.shadow = self._comparing, None, None
        if task:
            task.cancel()
            await asyncio.wait([task])

    async def _tell(self) -> None:
        seen = self.shadow.take() if self.shadow else Seen()
        rollout = self._comparing.get_name() if self._comparing else None
        self.state = await asyncio.to_thread(control.tell, self._store, rollout, seen)

    async def _load(self) -> None:
        """Loads what is wanted and not served, and lets go of what it loaded and nobody wants."""
        if self._loader is None:
            return
        for version in self.state.wanted - self._served() - self._unusable:
            bundle = self.state.bundles.get(version)
            if bundle is not None:
                await self._load_one(self._loader, version, bundle)
        for version in self._loaded - self.state.wanted:
            self._loaded.discard(version)
            await self._loader.unload(version)

    async def _load_one(self, loader: Loader, version: str, bundle: str) -> None:
        try:
            await loader.load(version, bundle)
            self._loaded.add(version)
        except Exception as error:
            self._unusable.add(version)
            why = _why(error)
            _log.error("%s cannot be loaded from %s: %s", version, bundle, why)
            going = self.state.going
            if going and version == going.candidate:
                await self._go_back(going, f"It cannot be loaded: {why}")

    def _say_who_is_missing(self) -> None:
        """Tells once of each version that is to be live and is not served."""
        missing = {version for kinds in self.state.live.values() for version in kinds.values()} - self._served()
        for version in sorted(missing - self._missed):
            _log.error("%s is to be live and is not served: the first version that is served answers instead.", version)
        self._missed = missing

    async def _compare(self, going: Going) -> None:
        try:
            probe = await asyncio.to_thread(probe_of, going.plan, self._pictures)
            self.shadow = Shadow(self._models, going, probe, self._settings, self._busy)
            await self.shadow.run()
        except Exception as error:
            why = _why(error)
            _log.error("%s cannot be compared: %s", going.candidate, why)
            await self._go_back(going, f"It cannot be compared: {why}")

    async def _go_back(self, going: Going, why: str) -> None:
        self.state = await asyncio.to_thread(control.back, self._store, "rolled back", why, control.RULE, going.id)

    def _served(self) -> set[str]:
        return {one.name for one in self._models.served}


def _why(error: Exception) -> str:
    """A sentence for what was foreseen; for the rest the log has all there is."""
    if isinstance(error, OpenAutoGLMError | UnknownModel):
        return str(error)
    _log.error("Nobody foresaw this.", exc_info=error)
    return f"the server met {type(error).__name__}."
