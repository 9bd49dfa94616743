"""What the tests of the page share: a model that sees colours, pictures of one colour, and a server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from direct_models import Direct
from fastapi import FastAPI
from PIL import Image

from open_autoglm.errors import TextError
from open_autoglm.runtime.images import ImageLimits, Preprocessing, prepare
from open_autoglm.runtime.similarity import Cosine, Queries
from open_autoglm.search import Index
from open_autoglm.serving import Settings, create_app
from open_autoglm.serving.draining import Drain
from open_autoglm.serving.opening import Opened
from open_autoglm.serving.server import server

WORDS = {"red": (1, 0, 0, 0), "green": (0, 1, 0, 0), "blue": (0, 0, 1, 0)}
COLOURS = {"red": (220, 20, 30), "green": (20, 190, 60), "blue": (25, 60, 210)}


class ColourModel:
    """A picture's vector is its mean colour; a text's its first colour word, or one no picture has."""

    name = "colours"
    bundle = SimpleNamespace(path=Path("colours"))  # of which an index only notes where it lies
    space = "colours-1"
    dimension = 4
    views = 1
    batch_size = 16
    similarity = Cosine()
    limits = ImageLimits()
    preprocessing = Preprocessing(8, 8, "squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def prepare(self, image: Any) -> np.ndarray:
        return prepare(image, self.preprocessing, self.limits)

    def embed_prepared(self, pixels: np.ndarray) -> np.ndarray:
        colours = pixels.astype(np.float32).mean(axis=(1, 2))
        vectors = np.concatenate([colours, np.ones((len(colours), 1), np.float32)], axis=1)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[:, None]

    def embed_images(self, images: Sequence[Any]) -> np.ndarray:
        return self.embed_prepared(np.stack([self.prepare(image) for image in images]))[:, 0]

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        if not all(text.strip() for text in texts):
            raise TextError("The query is empty: describe what to look for.")
        rows = [next((WORDS[word] for word in text.split() if word in WORDS), (0, 0, 0, 1)) for text in texts]
        return np.array(rows, np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Queries:
        return Queries(self.embed_texts(texts))

    def cutoff(self, queries: np.ndarray) -> np.ndarray:
        return np.full(len(queries), 0.6, np.float32)


def paint(folder: Path) -> None:
    """Twelve pictures: four of each colour, of several shapes, each a little different."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = [(400, 300), (240, 360), (500, 260), (300, 300)]
    for name, colour in COLOURS.items():
        for number, size in enumerate(shapes):
            shade = tuple(min(255, part + 9 * number) for part in colour)
            Image.new("RGB", size, shade).save(folder / f"{name}-{number}.jpg")


def painted_index(folder: Path) -> Index:
    """An index over ``paint``'s pictures in ``folder``/pictures."""
    paint(folder / "pictures")
    index = Index.create(folder / "colours.index", ColourModel())
    index.add(folder / "pictures")
    return index


def direct(index: Index | None, model: Any = None, **parts: Any) -> Opened:
    """An index and a model that answers in this process, the index's own if none is given."""

    def known() -> Any:
        return model or (index.model if index is not None else None)

    return Opened(index, Direct(lambda: {known().name: known()}), lambda name, tenant: known(), **parts)


@contextmanager
def serve(index: Index | None, settings: Settings | None = None) -> Iterator[str]:
    """The address of a real server on a free loopback port."""
    with serve_app(create_app(direct(index), settings), settings) as address:
        yield address


@contextmanager
def serve_app(app: FastAPI, settings: Settings | None = None) -> Iterator[str]:
    """The same for any application."""
    if not hasattr(app.state, "drain"):
        app.state.drain = Drain()
    running = server(app, settings or Settings())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        while not running.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()
