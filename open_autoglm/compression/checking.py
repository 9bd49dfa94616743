"""What a bundle is calibrated with and compared on, from a user's pictures and sentences.

It knows files and what can be read; it knows nothing about graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from open_autoglm.bundle import Bundle
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.runtime.decoding import ImageLimits, open_picture
from open_autoglm.runtime.text import TextTokenizer

from .graph_inputs import tokenizer_of
from .int8_bundle import Checks
from .sentences import SENTENCES

MOST = 256  # more pictures, or sentences, take longer and tell hardly more
LEAST = 8
EVERY = 4  # one of so many is compared on, and nothing is fitted on it
FEW = f"Fewer than {LEAST} different sentences are all compared on, and pruning fits on none of them: give more."

T = TypeVar("T")


def checks_of(
    bundle: Bundle, paths: Sequence[str], sentences: Sequence[str] = (), *, pruning: bool = False
) -> tuple[Checks, list[str]]:
    """At most ``MOST`` of the pictures and sentences, evenly taken; a sentence on each picture that cannot be used.

    Without sentences, some of ours and of the bundle's names, as far as it knows their words. Where ``pruning`` is to
    fit on sentences and names, they are parted as pictures are; of fewer than ``LEAST`` sentences none is for that,
    which is said, too. SettingError where fewer than ``LEAST`` pictures can be used, TextError for a sentence given
    that cannot.
    """
    usable, said = list[str](), list[str]()
    for path in evenly(paths):
        try:
            open_picture(path, ImageLimits()).pixels(1)
        except ImageError as error:
            said.append(str(error))
        else:
            usable.append(path)
    if len(usable) < LEAST:
        raise SettingError(f"{len(usable)} usable pictures are too few to calibrate and compare: give {LEAST} or more.")
    calibration, pictures = parted(usable)
    if not sentences:
        return Checks(calibration, pictures, ours(bundle, pruning)), said
    tokenizer_of(bundle).encode(sentences)
    if not pruning:
        return Checks(calibration, pictures, evenly(sentences)), said
    distinct = evenly(list({plain(sentence): sentence for sentence in sentences}.values()))
    if len(distinct) < LEAST:
        return Checks(calibration, pictures, distinct), [*said, FEW]
    fitting, compared = parted(distinct)
    return Checks(calibration, pictures, compared, fitting), said


def ours(bundle: Bundle, pruning: bool) -> Sequence[str]:
    """Sentences to compare a bundle on, and of its names those that pruning leaves for that."""
    tokenizer, there = tokenizer_of(bundle), names(bundle)
    compared = (*SENTENCES, *evenly(parted(there)[1] if pruning else there))
    return evenly([one for one in compared if known(tokenizer, one)])


def parted(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Three of four, to fit on, and the fourth, to compare on."""
    return [item for place, item in enumerate(items) if place % EVERY], items[::EVERY]


def plain(sentence: str) -> str:
    """What spellings of one sentence have in common."""
    return " ".join(sentence.split()).casefold()


def evenly(items: Sequence[str]) -> Sequence[str]:
    """At most ``MOST``, from all over."""
    return items[:: max(1, -(-len(items) // MOST))]


def names(bundle: Bundle) -> Sequence[str]:
    """What the bundle has names for."""
    file = bundle.manifest.vocabulary.get("names")
    return (bundle.path / file).read_text(encoding="utf-8").splitlines() if file else ()


def known(tokenizer: TextTokenizer, sentence: str) -> bool:
    """Whether there is a word in a sentence that a bundle knows."""
    try:
        tokenizer.encode([sentence])
    except TextError:
        return False
    return True


def read_sentences(file: Path) -> list[str]:
    """A sentence a line, empty lines left out. SettingError for a file that is no text, or empty."""
    try:
        found = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise SettingError(f"{file} cannot be read as lines of text ({error}).") from error
    if not found:
        raise SettingError(f"{file} holds no sentence: write one a line.")
    return found
