"""One worker process as this one sees it: started, given batches, watched, and ended.

It knows its socket and its life; it knows nothing of other workers, or of what is in a batch.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ...errors import OpenAutoGLMError, SettingError
from ..work import WorkerDied
from . import wire
from .opening import Opening
from .running import Batch, Done
from .settings import WorkerSettings

_AT_ONCE = 2  # batches in its hands: one that is looked at, and one whose pictures are decoded meanwhile
_MEGABYTE = 2**20


class WorkerProcess(asyncio.Protocol):
    """A worker from start to end; all of it on one event loop.

    ``leaving`` is done when it needs a successor: it died, or holds too much memory.
    """

    def __init__(self, settings: WorkerSettings, tell: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._settings, self._tell = settings, tell
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._frames = wire.Frames()
        self._in_hand: deque[asyncio.Future[Done]] = deque()
        self._limit: asyncio.TimerHandle | None = None
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._alone = self._retired = False
        self._why = "It ended by itself or was killed."
        self.leaving: asyncio.Future[None] = loop.create_future()
        self.served_any = False

    async def start(self, opening: Opening) -> None:
        """Returns when it is ready. Raises what loading raised, and WorkerDied where it died or took too long."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.to_thread(_spawn, theirs.fileno())
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=ours)
        self._write(wire.packed(opening.told()))
        self._limit = loop.call_later(self._settings.start_seconds, self._overdue, "It did not start in time.")
        try:
            await asyncio.shield(self._opened)
        finally:
            self._limit.cancel()
            if not self._opened.done() or self._opened.exception() is not None:
                await self.end()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid if self._process else 0

    @property
    def gone(self) -> bool:
        """Whether its end was seen."""
        return self._closed.done()

    @property
    def load(self) -> int:
        """Batches in its hands."""
        return len(self._in_hand)

    def free(self, alone: bool) -> bool:
        """Whether it would take a batch now."""
        ready = self._opened.done() and not self._closed.done() and not self._retired and not self._alone
        return ready and self.load < (1 if alone else _AT_ONCE)

    def run(self, batch: Batch) -> asyncio.Future[Done]:
        """Gives it a batch. TypeError for one that cannot be sent."""
        frame = wire.packed(wire.told_batch(batch))
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._in_hand.append(done)
        self._alone = batch.alone
        if self.load == 1:
            self._watch()
        self._write(frame)
        return done

    def retire(self) -> None:
        """It takes no more, and ends when it has finished what it has."""
        self._retired = True
        if not self._in_hand and self._transport is not None:
            self._transport.close()

    async def end(self) -> None:
        """Kills it; returns when it is gone."""
        if self._process is None:
            return
        self._process.kill()
        if self._transport is not None:
            self._transport.close()
            await self._closed
        await asyncio.to_thread(self._process.wait)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        for told in self._frames.feed(data):
            if self._opened.done():
                self._finished(told)
            elif told[0] == wire.READY:
                self._opened.set_result(None)
            else:
                error = told[1]
                self._opened.set_exception(
                    error if isinstance(error, OpenAutoGLMError) else WorkerDied("The model could not be loaded.")
                )

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if self._process is not None:
            self._process.kill()
            asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        self._closed.set_result(None)
        if not self._opened.done():
            self._opened.set_exception(WorkerDied(f"The model's process died while it started. {self._why}"))
            self._opened.exception()  # seen, also where nobody waits for it any more
        if not self.leaving.done():
            self.leaving.set_result(None)
        while self._in_hand:
            done = self._in_hand.popleft()
            if not done.done():
                done.set_exception(WorkerDied(f"The model's process died of or beside this item. {self._why}"))
        self._tell()

    def _finished(self, told: Any) -> None:
        result, memory = wire.as_done(told)
        done = self._in_hand.popleft()
        self._alone, self.served_any = False, True
        if self._limit is not None:
            self._limit.cancel()
        if self._in_hand:
            self._watch()
        if memory > self._settings.memory_mb * _MEGABYTE and not self.leaving.done():
            self.leaving.set_result(None)
        if self._retired:
            self.retire()
        if not done.done():
            done.set_result(result)

    def _watch(self) -> None:
        limit = self._settings.run_seconds
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(limit, self._overdue, f"It worked longer than {limit:g} s on one batch.")

    def _overdue(self, why: str) -> None:
        self._why = why
        if self._process is not None:
            self._process.kill()

    def _write(self, frame: tuple[bytes, bytes]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            for part in frame:
                self._transport.write(part)


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    """A fresh interpreter, which finds its modules where this one does."""
    if os.name != "posix":
        raise SettingError("Worker processes need Linux or macOS: set workers to 0, which runs the model in threads.")
    found = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return subprocess.Popen(  # noqa: S603 - this very interpreter, as it was started
        [
            sys.executable,
            "-P",
            *(f"-W{option}" for option in sys.warnoptions),
            "-m",
            f"{__package__}.child",
            str(descriptor),
        ],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": found},
    )
