"""Pictures as a request names them: a data: URI that holds one, or an address where that is allowed.

It knows both ways; it knows nothing of what is asked about a picture.
"""

from __future__ import annotations

import binascii

import pybase64
from anyio import to_thread

from ...errors import ImageError
from .fetching import Fetcher

DATA = "data:"
ADDRESSES = ("http://", "https://")
_LARGE = 2**20  # characters of base64 that take longer to decode than a thread takes to begin


class SentPictures:
    """Turns what stands for a picture into its bytes."""

    def __init__(self, fetcher: Fetcher, max_bytes: int) -> None:
        self._fetcher, self._max_bytes = fetcher, max_bytes

    async def content(self, named: str) -> bytes:
        """The picture's bytes. Raises ImageError for a data: URI that holds none, NotFetched for an address."""
        if named.startswith(ADDRESSES):
            return await self._fetcher.fetch(named)
        if len(named) < _LARGE:
            return decoded(named, self._max_bytes)
        return await to_thread.run_sync(decoded, named, self._max_bytes)


def is_picture(text: str) -> bool:
    """Whether a text in a list of texts and pictures is a picture."""
    return text[:5].lower() == DATA


def decoded(uri: str, max_bytes: int) -> bytes:
    """The bytes of ``data:image/jpeg;base64,...``; what they are is seen by them, not by the type that is claimed."""
    comma = uri.find(",", 0, 256)
    head = uri[:comma].lower() if comma >= 0 else ""
    if not (head.startswith(DATA) and head.endswith(";base64")):
        raise ImageError("A picture must be sent as data:image/jpeg;base64,... with its bytes in base64.")
    if (len(uri) - comma - 1) // 4 * 3 - 2 > max_bytes:
        raise ImageError(f"This picture has more than {max_bytes} bytes, the limit.")
    try:
        return pybase64.b64decode(uri[comma + 1 :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"The base64 of this picture's data: URI is damaged ({error}): send it again.") from error
