"""How a text is chosen token by token, as one typed setting, and what a choice may not be.

It knows names and ranges; it knows nothing about models or how logits come about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import SettingError


@dataclass(frozen=True)
class GenerationSettings:
    """Names as in Hugging Face's ``generate``; by default the likeliest token is taken each time (greedy).

    - ``max_new_tokens``: at most so many; None, or more than fit, takes what fits.
    - ``num_beams``: texts that are followed side by side. ``length_penalty``: a text is judged by the sum of its
      log-probabilities over its length to this power: 0 favours short ones, above 1 long ones.
    - ``do_sample``: draws instead: of ``temperature`` (below 1 bolder in what is likely), among the ``top_k`` likeliest
      (0: all) and the likeliest that together have the share ``top_p`` (nucleus sampling, 1904.09751). ``seed``: equal
      seeds draw alike; None draws anew.
    - ``repetition_penalty``: of tokens that were written already (CTRL, 1909.05858); 1 for none.
      ``no_repeat_ngram_size``: no sequence of so many tokens is written twice; 0 for any.

    Raises SettingError for a value out of range.
    """

    max_new_tokens: int | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        for name, least in (("max_new_tokens", 1), ("num_beams", 1), ("top_k", 0), ("no_repeat_ngram_size", 0)):
            self._whole(name, least)
        self._whole("seed", 0)
        for name in ("temperature", "repetition_penalty"):
            if not 0 < self._number(name) < math.inf:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be above 0.")
        if not 0 < self._number("top_p") <= 1:
            raise SettingError(f"top_p is {self.top_p}: it must be above 0 and at most 1.")
        if not math.isfinite(self._number("length_penalty")):
            raise SettingError(f"length_penalty is {self.length_penalty}: it must be a number.")
        if self.do_sample and self.num_beams > 1:
            raise SettingError(f"Sampling follows one text, not {self.num_beams}: leave one of the two out.")
        drawn = ("temperature", self.temperature, 1), ("top_k", self.top_k, 0), ("top_p", self.top_p, 1)
        for name, value, usual in drawn:
            if value != usual and not self.do_sample:
                raise SettingError(f"{name} is for sampling alone: ask for that too, or leave {name} out.")

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        optional = name in ("max_new_tokens", "seed")
        if not (optional and value is None) and (type(value) is not int or value < least):
            raise SettingError(f"{name} is {value!r}: it must be a whole number of at least {least}.")

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if type(value) not in (int, float):
            raise SettingError(f"{name} is {value!r}: it must be a number.")
        return float(value)
