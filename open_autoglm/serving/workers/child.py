"""A worker: a process of its own that loads the bundles and runs batches until the other end of its socket closes.

It knows frames and a bench; it knows nothing of queues, and is told what to do by one process alone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import warnings
from queue import SimpleQueue
from typing import Any, BinaryIO

from ...runtime.heap import give_back
from . import wire
from .bench import Begun, Bench, known
from .memory import resident
from .opening import Opening, warm

_STEPPING_BACK = 5  # of 19: a third of a core's time where another process wants the core, too


def main(descriptor: int) -> None:
    """Works for whoever holds the other end of the socket."""
    # Who started it says when it ends, by closing the socket, also where a signal goes to the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Under more load than there are cores, requests are still taken in, or refused, at once.
    os.nice(_STEPPING_BACK)
    give_back()
    # It has read the same bundles, too, and warned of what there is to warn of.
    warnings.simplefilter("ignore", RuntimeWarning)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rb") as file:
        try:
            opening = Opening.read(wire.read(file))
            models = opening.models()
            warm(models)
        except EOFError:
            return
        except Exception as error:
            _send(connection, [wire.FAILED, known(error)])
            return
        _send(connection, [wire.READY])
        _work(connection, file, Bench(models, opening.decoders))


def _work(connection: socket.socket, file: BinaryIO, bench: Bench) -> None:
    begun: SimpleQueue[Begun] = SimpleQueue()
    idle = threading.Event()
    threading.Thread(target=_receive, args=(file, bench, begun, idle), daemon=True).start()
    while True:
        memory = resident()  # while nobody waits for it
        idle.set()
        batch = begun.get()
        idle.clear()
        _send(connection, wire.told_done(bench.finish(batch), memory))


def _receive(file: BinaryIO, bench: Bench, begun: SimpleQueue[Begun], idle: threading.Event) -> None:
    """Takes batches as they come, and has those decoded at once that have to wait anyway."""
    while True:
        try:
            batch = wire.as_batch(wire.read(file))
        except (EOFError, OSError):
            os._exit(0)  # nobody is there to answer, whatever the model is doing
        begun.put(bench.begin(batch, ahead=not idle.is_set()))


def _send(connection: socket.socket, value: Any) -> None:
    try:
        connection.sendall(b"".join(wire.packed(value)))
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
