"""Indexes that tenants own, below one folder: root/TENANT/NAME.index, with the pictures sent for each beside it.

They know names, files and indexes; they know nothing of HTTP.
"""

from __future__ import annotations

from .names import DEFAULT_INDEX, NAME, IndexReadOnly, IndexTaken, IndexUnknown, check_name
from .shelf import ModelFor, Shelf

__all__ = ["DEFAULT_INDEX", "NAME", "IndexReadOnly", "IndexTaken", "IndexUnknown", "ModelFor", "Shelf", "check_name"]
