"""Names of what is cached: a hierarchy such as ``space:tenant:user:123:profile``, each name below all its beginnings.

It knows names; it knows nothing about values or where they are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, unquote

from ..errors import SettingError

LONGEST = 256  # characters of a part
PLAIN = re.compile(r"[\w.~-]+", re.ASCII)  # the same in a URL


@dataclass(frozen=True)
class Key:
    """A key, or the prefix of some: its parts, the first of which names the model, the second the tenant.

    No part can reach into another: as ``text`` each is escaped, so that a tenant called ``a:b`` is not below ``a``.
    Raises SettingError for a part that is empty, endless or no text.
    """

    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            if not isinstance(part, str) or not 0 < len(part) <= LONGEST:
                raise SettingError(
                    f"A cache key cannot have the part {str(part)[:40]!r}: give text of 1 to {LONGEST} characters."
                )
        if not self.parts:
            raise SettingError("A cache key needs at least one part.")

    @classmethod
    def of(cls, *parts: str) -> Key:
        """The key with these parts."""
        return cls(parts)

    @classmethod
    def parse(cls, text: str) -> Key:
        """The key whose ``text`` this is."""
        parts = text.split(":")
        key = cls(tuple(unquote(part, errors="surrogatepass") for part in parts) if "%" in text else tuple(parts))
        vars(key)["text"] = text  # it need not be escaped once more
        return key

    def __hash__(self) -> int:
        return hash(self.text)

    def below(self, *parts: str) -> Key:
        """The key that goes on from this one."""
        return Key((*self.parts, *parts))

    @cached_property
    def text(self) -> str:
        """The parts, escaped, with colons between them."""
        return ":".join(map(escaped, self.parts))

    @property
    def span(self) -> tuple[str, str]:
        """The texts of all keys below this one, and of no other, lie from the first up to before the second."""
        return f"{self.text}:", f"{self.text};"  # the sign after the colon

    @property
    def prefixes(self) -> tuple[Key, ...]:
        """All beginnings of the key, the shortest first, itself last."""
        return tuple(Key(self.parts[:count]) for count in range(1, len(self.parts) + 1))

    def covers(self, other: Key) -> bool:
        """Whether the other is this key or below it."""
        return other.parts[: len(self.parts)] == self.parts


def escaped(part: str) -> str:
    """A part without colons and anything else but letters, digits and ``-_.~``; what has none stays as it is."""
    return part if PLAIN.fullmatch(part) else quote(part, safe="", errors="surrogatepass")
