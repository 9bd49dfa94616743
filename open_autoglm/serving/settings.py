"""The settings of the page and its API, checked when they are made.

It knows nothing of where they come from: the command line or a caller passes them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from ..errors import SettingError
from ..runtime.images import ImageLimits
from .telemetry.settings import TelemetrySettings

_EXAMPLES = (
    "a red apple",
    "a summer dress",
    "bananas",
    "a pair of shoes",
    "a carton of milk",
    "a striped shirt",
    "a dog outdoors",
    "a street with cars",
    "people eating together",
    "a laptop on a desk",
    "flowers",
    "a sunset over water",
)


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    ``port`` 0 takes any free port. ``allowed_hosts`` are further names under which the page may be reached,
    beside the bound host and the loopback names. ``searches`` and ``decodes`` bound how many searches and questions
    and how many picture decodings run at once, ``patience`` the seconds that a search or question waits for its turn;
    ``limits`` bound an uploaded picture and one read for a thumbnail.
    ``examples`` are suggested on the start page as far as the index has a match. ``telemetry``: metrics, traces, logs.
    Raises SettingError.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    open_browser: bool = False
    allowed_hosts: tuple[str, ...] = ()
    searches: int = 2
    decodes: int = 4
    patience: float = 30.0
    limits: ImageLimits = field(default_factory=ImageLimits)
    examples: tuple[str, ...] = _EXAMPLES
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        if not self.host:
            raise SettingError("The host to serve on is empty: give a name or an address, such as 127.0.0.1.")
        if not 0 <= self.port <= 65535:
            raise SettingError(f"Port {self.port} does not exist: choose one between 0 and 65535.")
        for name in ("searches", "decodes"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if not self.patience > 0:
            raise SettingError(f"patience is {self.patience}: it must be above 0 seconds.")

    @property
    def binds_everywhere(self) -> bool:
        """Whether the host is the wildcard: the page is then reached under any of the machine's addresses."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach the page."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"
