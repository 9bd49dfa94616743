"""The settings of the page and its API, checked when they are made.

It knows nothing of where they come from: `configuration` reads them from a file, the environment and the command line.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SettingError
from ..runtime.images import ImageLimits
from .access.settings import AccessSettings
from .intake.fetching import FetchSettings
from .intake.limits import RequestLimits
from .rollout.settings import RolloutSettings
from .telemetry.settings import TelemetrySettings
from .workers.settings import WorkerSettings

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
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


@dataclass(frozen=True)
class Settings:
    """How the page and the API are served.

    ``port`` 0 takes any free port. ``allowed_hosts`` are further names under which they may be reached,
    beside the bound host and the loopback names. ``models`` are the bundles to serve by name, the default first;
    ``indexes`` is the folder in which tenants keep indexes of their own, at most ``open_indexes`` of them open at
    once. ``searches`` and ``decodes`` bound how many searches, writings and picture decodings run at once,
    ``patience`` the seconds that a search waits for its turn; ``limits`` bound each picture that is sent, and one read
    for a thumbnail; ``requests`` bound what a request may bring, and ``fetching`` says which addresses pictures are
    fetched from, none by default. ``examples`` are suggested on the start page as far as the index has a match.
    ``workers`` says what runs the models, ``access`` who may do what, ``telemetry`` what is told of it all, and
    ``rollout`` how new versions of a model come in.
    Raises SettingError.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    open_browser: bool = False
    allowed_hosts: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    indexes: Path | None = None
    open_indexes: int = 64
    searches: int = 2
    decodes: int = 4
    patience: float = 30.0
    limits: ImageLimits = field(default_factory=ImageLimits)
    requests: RequestLimits = field(default_factory=RequestLimits)
    fetching: FetchSettings = field(default_factory=FetchSettings)
    examples: tuple[str, ...] = _EXAMPLES
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)

    def __post_init__(self) -> None:
        if not self.host:
            raise SettingError("The host to serve on is empty: give a name or an address, such as 127.0.0.1.")
        if not 0 <= self.port <= 65535:
            raise SettingError(f"Port {self.port} does not exist: choose one between 0 and 65535.")
        for name in ("searches", "decodes", "open_indexes"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("max_bytes", "max_pixels"):
            if getattr(self.limits, name) < 1:
                raise SettingError(f"limits.{name} is {getattr(self.limits, name)}: it must be at least 1.")
        if not self.patience > 0:
            raise SettingError(f"patience is {self.patience}: it must be above 0 seconds.")
        if unfit := next((name for name in self.models if not _MODEL_NAME.fullmatch(name)), None):
            raise SettingError(f"A model cannot be served as {unfit!r}: use letters, digits and any of '._-@'.")

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
