"""What a user asks of a smaller bundle: how much it may lose, and what it must be.

It knows what was measured of one; it knows nothing about how one is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from open_autoglm.errors import SettingError

Kind = Literal["fastest", "int8", "size", "latency"]
Precision = Literal["fp32", "int8"]
MEGABYTE = 1e6


@dataclass(frozen=True)
class Row:
    """One way to make the bundle smaller, as measured beside the full one.

    ``pruned``: the share of the towers' parameters that went; ``precision``: of its graphs; ``megabytes`` (10^6 bytes)
    of the whole directory; ``milliseconds`` for one picture and one sentence, and how many ``times_faster`` than the
    full bundle that is; ``losses`` by graph: 1 - mean cosine of its vectors, or the share of answers that change;
    ``in_float``: which of its graphs have none in int8, though they could.
    """

    pruned: float
    precision: Precision
    megabytes: float
    milliseconds: float
    times_faster: float
    losses: Mapping[str, float]
    in_float: tuple[str, ...] = ()

    @property
    def loss(self) -> float:
        """The graph's that loses most; 0 for the full bundle."""
        return max(self.losses.values(), default=0.0)

    @property
    def name(self) -> str:
        """In words."""
        parts = [f"pruned by {self.pruned:.0%}"] if self.pruned else []
        return ", ".join([*parts, self.precision])


@dataclass(frozen=True)
class Wish:
    """At most ``max_loss`` is lost, and of what keeps to that, the fastest; ``limit`` is in megabytes or milliseconds.

    ``int8``: graphs in int8 only; ``size`` and ``latency``: at most ``limit``. SettingError for what cannot be wished.
    """

    max_loss: float = 0.02
    kind: Kind = "fastest"
    limit: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.max_loss < 1:
            raise SettingError(f"The loss allowed is a number between 0 and 1, such as 0.01, and not {self.max_loss}.")

    @classmethod
    def read(cls, max_loss: float, target: str | None) -> Wish:
        """From a command line: no target, ``int8``, ``size=30MB`` or ``latency=5ms``."""
        if target is None:
            return cls(max_loss)
        if target == "int8":
            return cls(max_loss, "int8")
        units: dict[Kind, str] = {"size": "MB", "latency": "ms"}
        for kind, unit in units.items():
            found = re.fullmatch(rf"{kind}=(\d+(?:\.\d+)?){unit}", target, re.IGNORECASE)
            if found and float(found[1]) > 0:
                return cls(max_loss, kind, float(found[1]))
        raise SettingError(f"The target {target!r} is none: write int8, size=30MB or latency=5ms.")

    def granted(self, row: Row) -> bool:
        """Whether a bundle is what was asked for."""
        return row.loss <= self.max_loss and self.reached(row)

    def reached(self, row: Row) -> bool:
        """Whether it is, but for its loss."""
        match self.kind:
            case "int8":
                return row.precision == "int8" and not row.in_float
            case "size":
                return row.megabytes <= self.limit
            case "latency":
                return row.milliseconds <= self.limit
            case _:
                return row.times_faster > 1 or row.pruned > 0 or row.precision == "int8"

    def __str__(self) -> str:
        wanted = {"size": f" at most {self.limit:g} MB", "latency": f" at most {self.limit:g} ms", "int8": " int8"}
        return f"a loss of at most {self.max_loss:g}" + (f" and{wanted[self.kind]}" if self.kind in wanted else "")
