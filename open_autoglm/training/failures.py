"""What ends a training on purpose.

It knows nothing about why.
"""

from __future__ import annotations

from open_autoglm.errors import OpenAutoGLMError


class TrainingError(OpenAutoGLMError):
    """A training that cannot go on: a loss that is not a number, a checkpoint of another recipe, a full disk."""
