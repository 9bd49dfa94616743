"""What a bundle is calibrated with and compared on, from a user's pictures and sentences.

It knows files and what can be read; it knows nothing about graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from open_autoglm.bundle import Bundle
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.runtime.decoding import ImageLimits, open_picture
from open_autoglm.runtime.text import TextTokenizer

from .graph_inputs import tokenizer_of
from .int8_bundle import Checks
from .sentences import SENTENCES

MOST = 256  # more pictures, or sentences, take longer and tell hardly more
LEAST = 8
EVERY = 4  # one picture of so many is compared on, and nothing is fitted on it


def checks_of(bundle: Bundle, paths: Sequence[str], sentences: Sequence[str] = ()) -> tuple[Checks, list[str]]:
    """At most ``MOST`` of the pictures and sentences, evenly taken; a sentence for each picture that cannot be used.

    Without sentences, some of ours and of the bundle's names, as far as it knows their words. SettingError where fewer
    than ``LEAST`` pictures can be used, TextError for a sentence given that cannot.
    """
    usable, refused = list[str](), list[str]()
    for path in evenly(paths):
        try:
            open_picture(path, ImageLimits()).pixels(1)
        except ImageError as error:
            refused.append(str(error))
        else:
            usable.append(path)
    if len(usable) < LEAST:
        raise SettingError(f"{len(usable)} usable pictures are too few to calibrate and compare: give {LEAST} or more.")
    calibration = [path for place, path in enumerate(usable) if place % EVERY]
    tokenizer = tokenizer_of(bundle)
    if sentences:
        tokenizer.encode(sentences)
    else:
        sentences = [one for one in (*SENTENCES, *evenly(names(bundle))) if known(tokenizer, one)]
    return Checks(calibration, usable[::EVERY], evenly(sentences)), refused


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
