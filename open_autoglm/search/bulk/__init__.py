"""Bulk embedding: pictures of folders, Parquet tables and tar shards into a Lance dataset, here or on a Ray cluster.

It knows the index and the runtime's model; it knows nothing about pages, commands or PyTorch.
"""

from __future__ import annotations

from .embedding import EmbedReport, embed
from .executors import Executor, InProcess
from .filling import fill
from .in_place import open_in_place
from .on_ray import OnRay

__all__ = ["EmbedReport", "Executor", "InProcess", "OnRay", "embed", "fill", "open_in_place"]
