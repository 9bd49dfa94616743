"""The names of things that a bundle knows, what pictures of them look like, and how to tell them apart.

It knows two files of a bundle and two of its tensors; it knows nothing about pictures or graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.errors import BundleError
from open_autoglm.weights import Weights

Floats = NDArray[np.float32]
NEAREST = 3  # known things that are asked how far a sentence can reach; one alone may be there by chance


@dataclass(frozen=True)
class Vocabulary:
    """``names``, and by their order, or empty: ``pictures`` [n, d], ``classifiers`` [n, c].

    A picture of the thing has about the unit vector in ``pictures``. The inner products of the last ``c`` numbers of a
    picture's vector, which say how it looks, with ``classifiers`` are the logits of the names.
    """

    names: tuple[str, ...]
    pictures: Floats
    classifiers: Floats

    @classmethod
    def read(cls, bundle: Bundle) -> Vocabulary:
        """What a bundle carries; nothing where it carries none. BundleError where it is damaged."""
        files, dimension = bundle.manifest.vocabulary, bundle.manifest.dimension
        nothing = np.zeros((0, dimension), np.float32)
        if not files:
            return cls((), nothing, nothing)
        path = bundle.path / files["names"]
        try:
            names = tuple(path.read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError) as error:
            raise BundleError(f"{path} cannot be read ({error}); copy the bundle again.") from error
        if "vectors" not in files:
            return cls(names, nothing, nothing)
        weights = Weights(bundle.path / files["vectors"])
        pictures, scale = (weights.float32(name) for name in ("pictures", "scale"))
        classifier, appearance = (bundle.weights.float32(files[name]) for name in ("classifier", "appearance"))
        if not (pictures.shape == (len(names), dimension) and len(classifier) == len(names)):
            raise BundleError(
                f"{bundle.path / files['vectors']} does not fit the {len(names)} names of {path.name}; "
                "copy the bundle again."
            )
        return cls(names, pictures, scale * classifiers_of(classifier, appearance))

    def reach(self, queries: Floats) -> Floats:
        """How high sentences [q, d] can score: the mean [q] of their similarity to the nearest known pictures."""
        if not len(self.pictures):
            return np.zeros(len(queries), np.float32)
        similar = np.sort(queries @ self.pictures.T, axis=1)
        reach: Floats = similar[:, -NEAREST:].mean(axis=1)
        return reach

    def recognise(self, whole: Floats) -> Floats | None:
        """The probability [n] of each name for a picture's vector [d]; None without classifiers."""
        if not len(self.classifiers):
            return None
        logits = self.classifiers @ whole[-self.classifiers.shape[1] :]
        weights = np.exp(logits - logits.max())
        probabilities: Floats = weights / weights.sum()
        return probabilities


def classifiers_of(classifier: Floats, appearance: Floats) -> Floats:
    """What is left [n, c] of a tower's classifier [n, hidden] in vectors that ``appearance`` [c, hidden] makes."""
    left: Floats = (classifier - classifier.mean(axis=0)) @ appearance.T
    return left
