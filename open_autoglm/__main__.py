"""``python -m open_autoglm`` is ``autoglm``; nothing else lies here."""

from __future__ import annotations

from .cli import main

main()
