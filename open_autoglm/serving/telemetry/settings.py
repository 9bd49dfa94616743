"""The settings of metrics, traces and logs, checked when they are made.

It knows nothing of where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ...errors import SettingError

FORMATS = ("auto", "json", "text")
LEVELS = ("debug", "info", "warning", "error")
MOST_TENANTS = 1_000


@dataclass(frozen=True)
class TelemetrySettings:
    """What is told about serving, and to whom.

    ``tenants``: of so many tenants requests are counted apart, the first that come; all further ones are ``other``,
    and with 0 nobody's are counted apart. ``traces``: the address of an OpenTelemetry collector that takes OTLP over
    HTTP, such as http://localhost:4318/v1/traces; without it there are no traces. ``trace_share`` of requests are
    traced, in 0..1. ``service`` is the name that traces go under. ``log_format``: ``json``, ``text``, or ``auto``,
    which is text on a terminal. ``log_level``: the least that is logged. ``log_content``: whether texts, paths and
    messages of exceptions are logged, which tell what users look for. Raises SettingError.
    """

    tenants: int = 0
    traces: str = ""
    trace_share: float = 1.0
    service: str = "open-autoglm"
    log_format: str = "auto"
    log_level: str = "info"
    log_content: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tenants <= MOST_TENANTS:
            raise SettingError(f"tenants is {self.tenants}: count between 0 and {MOST_TENANTS} of them apart.")
        if self.traces and not _is_address(self.traces):
            raise SettingError(
                f"Traces cannot be sent to {self.traces!r}: give the address of an OTLP receiver, such as "
                "http://localhost:4318/v1/traces."
            )
        if not 0 <= self.trace_share <= 1:
            raise SettingError(f"trace_share is {self.trace_share}: it is a share of requests, from 0 to 1.")
        if not self.service:
            raise SettingError("The service's name is empty: traces go under it, so give one, such as open-autoglm.")
        for name, known in (("log_format", FORMATS), ("log_level", LEVELS)):
            if getattr(self, name) not in known:
                raise SettingError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(known)}.")


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
