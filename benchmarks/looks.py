"""More ways to look, each beside what is simpler: an index's own cut, words written, weights, picture and words, twins.

On photos of COCO (``coco128/dev``), of clothing (``clothing/dev``) and of groceries (the validation split). The few
figures that the program holds were chosen on these, so that this table says how much they matter, not how they do
elsewhere.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from _labelled_photos import Collection, collections
from _record import record
from PIL import Image, ImageEnhance

import open_autoglm
from open_autoglm.evaluation.retrieval import average_precision
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.search.duplicates import THRESHOLD, pairs
from open_autoglm.search.looks import fingerprints, likeness
from open_autoglm.search.seeing import dots_of
from open_autoglm.search.written import terms

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
QUICK = 4  # every fourth photo of two collections
REMARKS = ("holiday snap", "IMG 2041", "front view", "new in stock", "my favourite", "taken at home", "on the table")
CAPTIONED, MISTAKEN = 0.5, 0.25  # the share of photos whose caption names what they show, or anything
RRF = 60  # the constant of reciprocal rank fusion (Cormack et al., SIGIR 2009)


def main() -> None:
    """Measures all of it and records it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every fourth photo of clothing and groceries")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with coco128/, clothing/ and grocery/")
    parser.add_argument("--model", default="open-autoglm-base")
    arguments = parser.parse_args()
    began = time.perf_counter()
    model = open_autoglm.load(arguments.model)
    figures: dict[str, float] = {}
    with collections(model, arguments.data, QUICK if arguments.quick else 1) as every:
        for collection in every:
            figures |= cut(model, collection, every) | twins(collection) | written(model, collection)
        figures |= weights(model, every[0]) | picture_and_words(model, every[0], 1 if arguments.quick else 3)
    figures |= blocks(20_000 if arguments.quick else 100_000)
    record("looks", {"model": model.space, "quick": arguments.quick}, figures, time.perf_counter() - began)


def cut(model: open_autoglm.Model, collection: Collection, every: list[Collection]) -> dict[str, float]:
    """F1 of what is kept for each name, and the share of foreign names for which anything is, by both cuts."""
    figures = {}
    foreign = sorted(set().union(*(one.shown for one in every if one is not collection)) - set(collection.shown))
    for side in ("bundle", "index"):
        right = kept = wanted = anything = 0
        for names in (list(collection.shown), foreign):
            for name in names:
                text = model.template.format(name)
                scores = collection.scores(text, cut=side == "index")
                floor = model.cutoff(model.embed_texts([text]))[0] if side == "bundle" else -np.inf
                found = (scores >= floor) & (scores > -np.inf)
                if name in collection.shown:
                    right += (found & collection.shown[name]).sum()
                    kept, wanted = kept + found.sum(), wanted + collection.shown[name].sum()
                else:
                    anything += found.any()
        figures[f"{collection.name}_cut_f1_{side}"] = 2 * right / (kept + wanted)
        figures[f"{collection.name}_foreign_queries_answered_{side}"] = anything / len(foreign)
    return figures


def written(model: open_autoglm.Model, collection: Collection) -> dict[str, float]:
    """mAP of names as queries where half of the photos have a caption with a name, and a quarter a wrong one."""
    chance = random.Random(0)
    names = list(collection.shown)
    captions = {}
    for row, file in enumerate(collection.files):
        own = [name for name in names if collection.shown[name][row]]
        share = chance.random()
        named = chance.choice(own or names) if share < CAPTIONED else chance.choice(names)
        extra = f" {named}" if share < CAPTIONED + MISTAKEN else ""
        captions[str(file)] = {"caption": f"{chance.choice(REMARKS)}{extra}"}
    collection.index.add(collection.files, captions)
    sides: dict[str, list[float]] = {"vectors": [], "words": [], "rank_fusion": [], "sum": []}
    for name, shown in collection.shown.items():
        text = model.template.format(name)
        vectors = collection.scores(text, cut=False)
        words = np.zeros(len(vectors))
        for id, fit in collection.index._store.written(terms(text)).fits.items():
            words[id - 1] = fit
        fused = 1 / (RRF + ranks(vectors)) + np.where(words > 0, 1 / (RRF + ranks(words)), 0)
        mixed = collection.scores(text, cut=False, written=True)
        for side, scores in zip(sides, (vectors, words + 1e-6 * vectors, fused, mixed), strict=True):
            sides[side].append(precision(scores, shown))
    return {f"{collection.name}_captions_map_{side}": float(np.mean(values)) for side, values in sides.items()}


def weights(model: open_autoglm.Model, collection: Collection) -> dict[str, float]:
    """mAP of photos that show one thing and not another, and of photos that show both."""
    figures = {}
    plain = {name: collection.scores(model.template.format(name), cut=False) for name in collection.shown}
    away: dict[str, list[float]] = {"one_text": [], "difference": [], "weighed": []}
    both: dict[str, list[float]] = {"one_text": [], "sentence": [], "weighed": []}
    for first, second, one, other in couples(collection):
        texts = [model.template.format(name) for name in (first, second)]
        if (one & ~other).sum() >= 2:
            weighed = collection.scores({texts[0]: 1, texts[1]: -1}, cut=False)
            sides = (plain[first], plain[first] - plain[second], weighed)
            for side, scores in zip(away, sides, strict=True):
                away[side].append(precision(scores, one & ~other))
        if first < second:
            weighed = collection.scores({texts[0]: 1, texts[1]: 1}, cut=False)
            sentence = collection.scores(f"{texts[0]} and a {second}", cut=False)
            for side, scores in zip(both, (plain[first], sentence, weighed), strict=True):
                both[side].append(precision(scores, one & other))
    figures |= {f"without_map_{side}": float(np.mean(values)) for side, values in away.items()}
    return figures | {f"both_map_{side}": float(np.mean(values)) for side, values in both.items()}


def picture_and_words(model: open_autoglm.Model, collection: Collection, pictures: int) -> dict[str, float]:
    """mAP of photos that show what a picture shows and what a text says, for so many pictures without the latter."""
    sides: dict[str, list[float]] = {"words": [], "picture": [], "plain_sum": [], "search": []}
    chance = np.random.default_rng(0)
    for _, second, one, other in couples(collection):
        for row in chance.permutation(np.flatnonzero(one & ~other))[:pictures]:
            file, text = collection.files[row], model.template.format(second)
            words, picture = (collection.scores(text, cut=False), collection.scores(None, image=file))
            mixed = collection.scores(text, image=file)
            for side, scores in zip(sides, (words, picture, words + picture, mixed), strict=True):
                sides[side].append(precision(scores, one & other))
    return {f"picture_and_words_map_{side}": float(np.mean(values)) for side, values in sides.items()}


def twins(collection: Collection) -> dict[str, float]:
    """The share of altered copies that are taken for twins, by kind, and the pairs among the photos that are."""
    figures: dict[str, float] = {}
    chosen = [Image.open(file).convert("RGB") for file in collection.files[:: max(1, len(collection.files) // 32)]]
    for kind, alter in ALTERED.items():
        alike = [float(likeness(*np.split(prints_of([photo, alter(photo)]), 2))[0]) for photo in chosen]
        figures[f"{collection.name}_twins_found_{kind}"] = float(np.mean(np.array(alike) >= THRESHOLD))
    found = collection.index.duplicates()
    figures[f"{collection.name}_twins_among_photos"] = sum(len(group.others) for group in found.groups)
    return figures


def blocks(count: int) -> dict[str, float]:
    """Seconds that so many pictures take to be compared, each with each."""
    chance = np.random.default_rng(0)
    coarse = chance.integers(0, 256, (count, 4, 4, 3), np.uint8)
    dots = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2).reshape(count, -1)
    began = time.perf_counter()
    for _ in pairs(dots, THRESHOLD):
        pass
    return {"twins_compared": count, "twins_seconds": time.perf_counter() - began}


def couples(collection: Collection) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Two names that at least two photos have both of, with the photos of each."""
    for first, one in collection.shown.items():
        for second, other in collection.shown.items():
            if first != second and (one & other).sum() >= 2:
                yield first, second, one, other


def smaller(photo: Image.Image) -> Image.Image:
    return photo.resize((max(1, photo.width // 3), max(1, photo.height // 3)))


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def crop(photo: Image.Image) -> Image.Image:
        width, height = int(photo.width * share), int(photo.height * share)
        return photo.crop((width, height, photo.width - width, photo.height - height))

    return crop


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved_again": lambda photo: photo,
    "a_third_of_the_size": smaller,
    "brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.15),
    "1_percent_off_each_side": cropped(0.01),
    "3_percent_off_each_side": cropped(0.03),
}


def prints_of(photos: list[Image.Image]) -> np.ndarray:
    """Fingerprints of photos that are saved as JPEG of quality 60."""
    dots = []
    for photo in photos:
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=60)
        dots.append(dots_of(file.getvalue(), ImageLimits()))
    return fingerprints(np.frombuffer(b"".join(dots), np.uint8))


def precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Average precision."""
    return average_precision(relevant[np.argsort(-scores, kind="stable")], int(relevant.sum()))


def ranks(scores: np.ndarray) -> np.ndarray:
    """From 1, the best."""
    return np.argsort(np.argsort(-scores, kind="stable")) + 1


if __name__ == "__main__":
    main()
