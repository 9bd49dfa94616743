"""How much one request may bring and how long it may take to bring it, checked when the limits are made.

It knows bytes, items and seconds; it knows nothing of what a request asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import SettingError

MEBIBYTE = 2**20


@dataclass(frozen=True)
class RequestLimits:
    """Bounds on requests, whoever sends them.

    ``body_bytes`` bounds one body and ``bytes_waiting`` all that are held at once; a body must have arrived after
    ``body_seconds`` and the headers, at most ``header_bytes``, after ``header_seconds``. ``items`` bounds the texts
    and pictures of one request, ``characters`` all its texts together. ``seconds`` is how long an answer is worth
    anything. ``connections`` may be open at once. Raises SettingError.
    """

    body_bytes: int = 80 * MEBIBYTE
    bytes_waiting: int = 512 * MEBIBYTE
    body_seconds: float = 20.0
    header_bytes: int = 32 * 2**10
    header_seconds: float = 10.0
    items: int = 256
    characters: int = 500_000
    seconds: float = 30.0
    connections: int = 1000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise SettingError(f"requests.{field.name} is {value}: it must be above 0.")
        if self.bytes_waiting < self.body_bytes:
            raise SettingError(
                f"requests.bytes_waiting is {self.bytes_waiting}, less than one body may have: "
                f"it must be at least requests.body_bytes, {self.body_bytes}."
            )
