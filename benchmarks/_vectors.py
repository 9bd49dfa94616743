"""Vectors as a model of pictures and text has them, made up: clusters of few dimensions, and a gap between the two.

The pictures lie in one narrow cone of the sphere and the queries in another (Liang et al., Mind the Gap, 2203.02053),
so that a query is far from all pictures and its nearest ones are far from each other: where graphs do worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LATENT = 48  # dimensions in which pictures truly differ
CLUSTERS = 2000
PART = 50_000


@dataclass(frozen=True)
class World:
    """What pictures and queries share, and what sets them apart."""

    centres: Floats
    spectrum: Floats
    to_picture: Floats
    to_text: Floats
    picture_mean: Floats
    text_mean: Floats

    @classmethod
    def make(cls, dimension: int, seed: int = 0) -> World:
        """A world of its own for each seed."""
        rng = np.random.default_rng(seed)
        spectrum = (np.arange(1, LATENT + 1, dtype=np.float32) ** -0.4)[None]
        basis = np.linalg.qr(rng.standard_normal((dimension, 3 * LATENT + 2)))[0].T.astype(np.float32)
        ours, theirs = basis[:LATENT], basis[LATENT : 2 * LATENT]
        centres = rng.standard_normal((CLUSTERS, LATENT), np.float32) * spectrum
        # A text sees most of what a picture shows, and some that no picture has.
        return cls(centres, spectrum, ours, 0.8 * ours + 0.6 * theirs, basis[-1], basis[-2])

    def pictures(self, count: int, seed: int) -> Floats:
        """Unit vectors [count, d] of pictures."""
        return np.concatenate(
            [
                self._look(
                    min(PART, count - start),
                    np.random.default_rng((seed, start)),
                    self.to_picture,
                    self.picture_mean,
                    mean=3.0,
                    spread=0.7,
                    noise=1.2,
                )
                for start in range(0, count, PART)
            ]
        )

    def queries(self, count: int, seed: int) -> Floats:
        """Unit vectors [count, d] of sentences."""
        rng = np.random.default_rng((seed, 1 << 40))
        return self._look(count, rng, self.to_text, self.text_mean, mean=3.0, spread=0.9, noise=1.5)

    def _look(
        self,
        count: int,
        rng: np.random.Generator,
        way: Floats,
        centre: Floats,
        mean: float,
        spread: float,
        noise: float,
    ) -> Floats:
        latent = self.centres[rng.integers(len(self.centres), size=count)]
        latent = latent + spread * rng.standard_normal((count, LATENT), np.float32) * self.spectrum
        vectors = latent @ way + mean * centre
        vectors += noise / np.sqrt(np.float32(vectors.shape[1])) * rng.standard_normal(vectors.shape, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
