"""Which trace a piece of work belongs to, as it travels between programs: W3C Trace Context, level 1.

It knows the header ``traceparent``; it knows nothing of spans or of who records them.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A span: its trace, 32 hexadecimal digits, its own 16, and whether it is recorded."""

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def new(cls) -> TraceParent:
        """The beginning of a trace that nobody records."""
        # These are names, not secrets. Neither is ever 0, which the standard forbids.
        return cls(f"{random.getrandbits(128) or 1:032x}", f"{random.getrandbits(64) or 1:016x}", False)

    @classmethod
    def read(cls, header: str) -> TraceParent | None:
        """What a header says, None where it is no ``traceparent``."""
        match = _HEADER.fullmatch(header)
        if match is None:
            return None
        version, trace_id, span_id, flags, further = match.groups()
        if version == "ff" or (version == "00" and further) or not trace_id.strip("0") or not span_id.strip("0"):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @classmethod
    def recorded(cls, header: str) -> TraceParent | None:
        """What a header says, None where it is no ``traceparent`` or its span is not recorded."""
        read = cls.read(header)
        return read if read is not None and read.sampled else None

    @property
    def header(self) -> str:
        """As it is sent on."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"

    def child(self) -> TraceParent:
        """Another span of the same trace, which nobody records."""
        return TraceParent(self.trace_id, TraceParent.new().span_id, False)
