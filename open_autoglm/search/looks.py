"""What pictures look like from afar: 16 x 16 dots of colour, kept in the index once they were seen, and compared.

It knows dots and their table; it knows nothing about models, files or which picture is the better one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 16
CHANNELS = 3
FLATTEST = 8 / 255  # a picture that varies less than this has no shapes, only noise
COLOUR = 1.5  # how much the mean colour counts beside the shapes

# Of another content than the picture has by now, it is of no use any more.
TABLE = f"""
CREATE TABLE looks (
  id INTEGER PRIMARY KEY REFERENCES pictures (id) ON DELETE CASCADE,
  content BLOB NOT NULL,
  dots BLOB NOT NULL  -- uint8 [{SIDE}, {SIDE}, {CHANNELS}]
);
"""


def read(connection: sqlite3.Connection) -> dict[int, bytes]:
    """The dots of the pictures that were seen and have not changed since, by id."""
    rows = connection.execute(
        "SELECT id, dots FROM looks JOIN pictures USING (id) WHERE looks.content = pictures.content"
    )
    return dict(rows.fetchall())


def write(connection: sqlite3.Connection, seen: Iterable[tuple[int, bytes, bytes]]) -> None:
    """Keeps the dots of pictures, by id and the content that was looked at; pictures that are gone are left out."""
    connection.executemany("INSERT OR REPLACE INTO looks SELECT id, ?2, ?3 FROM pictures WHERE id = ?1", list(seen))


def fingerprints(dots: NDArray[np.uint8]) -> Floats:
    """Dots, 16 x 16 x 3 for each of n pictures, as vectors [n, 771] whose distance says how unlike they are.

    The shapes are less their mean and of unit length, so that light and contrast count for little; the mean colour
    comes in three more numbers.
    """
    colours = dots.reshape(-1, SIDE * SIDE, CHANNELS).astype(np.float32) / np.float32(255)
    mean = colours.mean(axis=1, keepdims=True)
    shapes = (colours - mean).reshape(-1, SIDE * SIDE * CHANNELS)
    deviation = np.maximum(shapes.std(axis=1, keepdims=True), np.float32(FLATTEST))
    scale = np.float32(1 / np.sqrt(shapes.shape[1]))
    prints: Floats = np.concatenate([shapes / deviation * scale, mean[:, 0] * np.float32(COLOUR)], axis=1)
    return prints


def coarse(prints: Floats) -> Floats:
    """Fingerprints [n, 771] at 4 x 4 dots, [n, 51]: an orthogonal projection, in which no two lie further apart."""
    shapes = prints[:, :-CHANNELS].reshape(len(prints), 4, 4, 4, 4, CHANNELS)
    small = shapes.mean(axis=(2, 4)).reshape(len(prints), -1) * np.float32(4)
    reduced: Floats = np.concatenate([small, prints[:, -CHANNELS:]], axis=1)
    return reduced


def distance(threshold: float) -> float:
    """How far apart fingerprints of so much likeness are; likeness is 1 less half the squared distance."""
    return float(np.sqrt(2 * max(1 - threshold, 0)))


def likeness(one: Floats, others: Floats) -> Floats:
    """Of a fingerprint [771] with others [n, 771]: at most 1, where they are the same."""
    alike: Floats = 1 - np.square(others - one).sum(axis=1) / np.float32(2)
    return alike
