"""No test sees what was tuned on the machine it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

# Before regopy, which brings a C++ runtime of its own: loaded after it, torch aborts. No server loads torch.
import torch as _torch  # noqa: F401


@pytest.fixture(autouse=True)
def untuned(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder
