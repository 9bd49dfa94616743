"""Where the peers are installed that need other versions of what this project needs: ``build/peers``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent.parent / "build" / "peers"
PYTHON = PEERS / "bin" / "python"
PACKAGES = (
    "litserve==0.2.19",
    "infinity-emb[server,optimum,cache]==0.0.78",
    "aiohttp",
    "onnx",
    "pillow",
    "sentence-transformers<4",
    "torch==2.13.0",
    "transformers==4.57.6",
)


def install_peers() -> None:
    """Once."""
    if not (PEERS / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (PEERS / "installed").touch()
