"""The search index over pictures: adding folders, searching by words or pictures, filtering, deleting.

It knows the runtime's model and picture intake; it knows nothing about pages, commands or PyTorch.
"""

from __future__ import annotations

from .duplicates import Duplicates, Group, Twin
from .health import Health
from .index import Index
from .records import AddReport, Hit, Json, Progress, Record, Skipped, WordMatch

__all__ = [
    "AddReport",
    "Duplicates",
    "Group",
    "Health",
    "Hit",
    "Index",
    "Json",
    "Progress",
    "Record",
    "Skipped",
    "Twin",
    "WordMatch",
]
