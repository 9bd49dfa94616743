"""Int8 graphs for a bundle just trained, calibrated on pictures of its training and compared on those kept back.

It knows a bundle and records; how a graph is quantised, ``compression`` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from open_autoglm.bundle import Bundle
from open_autoglm.compression.checking import known
from open_autoglm.compression.graph_inputs import tokenizer_of
from open_autoglm.compression.int8_bundle import Checks, Int8Settings, quantise_bundle
from open_autoglm.compression.sentences import SENTENCES
from open_autoglm.data import Records
from open_autoglm.data.pictures import source_of
from open_autoglm.errors import OpenAutoGLMError
from open_autoglm.runtime.decoding import ImageLimits, ImageSource

from .material import Splits, sample

CALIBRATED, COMPARED, ASKED = 64, 32, 200  # pictures, and what is asked about those compared on


def add_int8(bundle: Path, splits: Splits, seed: int, report: Callable[[str], None]) -> tuple[str, ...]:
    """Adds int8 graphs to a bundle; a sentence on each graph that stays in float. ``report`` hears of each step.

    Where no picture was kept back, they are compared on training pictures; captions without a word that the bundle
    knows are left out. The bundle stays as it is where no graph could be quantised.
    """
    compared = sample(splits.validation or splits.train, COMPARED, seed)
    captions = dict.fromkeys(chain.from_iterable(record.captions for record in compared))
    try:
        source = Bundle.open(bundle)
        tokenizer = tokenizer_of(source)
        texts = [text for text in captions if known(tokenizer, text)][:ASKED]
        checks = Checks(pictures(sample(splits.train, CALIBRATED, seed)), pictures(compared), texts or SENTENCES)
        made = quantise_bundle(source, bundle, checks, Int8Settings(), overwrite=True, report=report)
    except OpenAutoGLMError as error:  # a bundle in float alone is better than none after a long training
        return (str(error),)
    return made.notes


def pictures(records: Records) -> Sequence[ImageSource]:
    """The records' pictures."""
    return [source_of(record.picture, ImageLimits()) for record in records]
