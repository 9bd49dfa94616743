"""Shares of something to prune, as a user gives them, and the widths they mean."""

from __future__ import annotations

from open_autoglm.errors import SettingError

from .stages import Stage


def checked_share(share: float) -> None:
    """Raises SettingError for a share outside of 0 to 1."""
    if not 0 < share < 1:
        raise SettingError(f"The share to prune is a number between 0 and 1, and not {share}.")


def rounded(stage: Stage, share: float) -> int:
    """The width nearest to a share of a stage's units that kernels like, at least the smallest of those."""
    multiple = stage.multiple
    return min(stage.units, max(multiple, round(share * stage.units / multiple) * multiple))
