"""Opens a picture safely and decodes it to upright RGB; its header is held against limits beforehand.

It knows nothing about models or what the picture is for; colour profiles (ICC) are ignored.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from ..errors import ImageError


@dataclass(frozen=True)
class Source:
    """A picture as it came in: the ``name`` that a refusal calls it by; the file's bytes, or pixels uint8 [h, w, 3]."""

    name: str
    content: bytes | np.ndarray

    @cached_property
    def digest(self) -> str:
        """The sha256 of the content, in hexadecimal: equal ones are the same picture, whatever it is called."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        pixels = np.ascontiguousarray(self.content)
        return hashlib.sha256(f"pixels {pixels.shape} ".encode() + pixels.tobytes()).hexdigest()


ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Source

# Each format's first bytes and Pillow class. The classes are used directly, because Image.open applies the
# process-wide Image.MAX_IMAGE_PIXELS, which other code in the process may rely on; MPO is JPEG's first frame.
_FORMATS = (
    (b"\xff\xd8\xff", "JpegImagePlugin", "JpegImageFile"),
    (b"\x89PNG\r\n\x1a\n", "PngImagePlugin", "PngImageFile"),
    (b"RIFF", "WebPImagePlugin", "WebPImageFile"),
    (b"GIF8", "GifImagePlugin", "GifImageFile"),
    (b"BM", "BmpImagePlugin", "BmpImageFile"),
    (b"II*\0", "TiffImagePlugin", "TiffImageFile"),
    (b"MM\0*", "TiffImagePlugin", "TiffImageFile"),
    (b"II+\0", "TiffImagePlugin", "TiffImageFile"),
    (b"MM\0+", "TiffImagePlugin", "TiffImageFile"),
)
_UPRIGHT = {  # EXIF orientation -> what turns the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_EXIF_TAG, _DATE_TAG = 0x8769, 0x9003  # the directory of the camera's facts, and DateTimeOriginal in it
_MAX_SCANS = 100  # a progressive JPEG has about 10; each one costs a pass over all pixels, however short it is
_DAMAGED = "its data is damaged or cut short; copy it again from where it came from."


@dataclass(frozen=True)
class ImageLimits:
    """What a picture may cost: bytes of the encoded file, and pixels as stored, checked before decoding."""

    max_bytes: int = 64 * 2**20
    max_pixels: int = 100_000_000


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True)
class Picture:
    """A picture whose header was read and found within limits, its pixels not yet decoded."""

    name: str
    image: Image.Image
    data: bytes | None = None  # encoded bytes, when the picture came in as a file or bytes

    def orientation(self) -> int:
        """EXIF orientation 1..8; 1 where there is none, it is damaged, or Pillow applies it itself."""
        if self.image.format == "TIFF":
            return 1
        try:
            # The base class's method: PngImageFile's own would decode the pixels to look behind them.
            value = Image.Image.getexif(self.image).get(_ORIENTATION_TAG, 1)
        except Exception:  # damaged EXIF raises nearly anything, and the pixels are good without it
            return 1
        return value if value in _UPRIGHT else 1

    def size(self) -> tuple[int, int]:
        """Width and height in pixels after EXIF rotation."""
        width, height = self.image.size
        return (height, width) if self.orientation() >= 5 else (width, height)

    def taken(self) -> str | None:
        """When the picture was taken, as EXIF's DateTimeOriginal says: ISO 8601, the camera's local time."""
        try:
            value = Image.Image.getexif(self.image).get_ifd(_EXIF_TAG).get(_DATE_TAG)
            return datetime.strptime(str(value).rstrip("\0 "), "%Y:%m:%d %H:%M:%S").isoformat()
        except Exception:  # as above
            return None

    def pixels(self, at_least: int | None) -> Image.Image:
        """The decoded picture, RGB and upright."""
        try:
            image = self._decoded_jpeg(at_least) or _rgb(self._decoded(at_least))
        except ImageError:
            raise
        except Exception as error:  # decoders fed with damaged data raise nearly anything
            raise _undecodable(self.name, error) from error
        turn = _UPRIGHT.get(self.orientation())
        if turn is None:
            return image
        turned = image.transpose(turn)
        turned.info.clear()  # it would be turned once more by whoever takes it for a picture
        return turned

    def _decoded(self, at_least: int | None) -> Image.Image:
        if self.data is not None and at_least is not None:
            self.image.draft("RGB", (at_least, at_least))  # does nothing but for JPEG
        self.image.load()
        return self.image

    def _decoded_jpeg(self, at_least: int | None) -> Image.Image | None:
        """A JPEG through simplejpeg, which notices damage that Pillow lets pass; None: left to Pillow."""
        if self.data is None or self.image.format != "JPEG" or self.image.mode == "CMYK":
            return None
        width, height = self.image.size
        factor = _jpeg_factor(min(width, height), at_least)
        if (scans := self.data.count(b"\xff\xda")) > _MAX_SCANS:
            raise _refusal(self.name, f"it is a JPEG in {scans} scans, made to take long; save it again.")
        try:
            if simplejpeg.decode_jpeg_header(self.data)[:2] != (height, width):
                return None
            return Image.fromarray(
                simplejpeg.decode_jpeg(self.data, "RGB", min_height=-(-height // factor), min_width=-(-width // factor))
            )
        except ValueError as error:
            message = str(error)
            # Many cameras leave stray bytes between segments; every other complaint means lost pixels.
            if ("Corrupt" in message or "Premature" in message) and "extraneous" not in message:
                raise _refusal(self.name, _DAMAGED) from error
            return None


def open_picture(source: ImageSource, limits: ImageLimits) -> Picture:
    """Reads the header only; raises ImageError for what is not a picture or is beyond the limits."""
    opened = _opened(source, limits)
    width, height = opened.image.size
    if width * height > limits.max_pixels:
        raise _refusal(
            opened.name,
            f"it has {width * height:,} pixels ({width} x {height}), the limit is {limits.max_pixels:,}; "
            "shrink it, or in Python raise max_pixels of ImageLimits.",
        )
    if width < 1 or height < 1:
        raise _refusal(opened.name, "it has no pixels.")
    return opened


def _opened(source: ImageSource, limits: ImageLimits) -> Picture:
    if isinstance(source, Source):
        name, content = source.name, source.content
        return _from_bytes(name, content, limits) if isinstance(content, bytes) else Picture(name, _from_array(content))
    if isinstance(source, np.ndarray | bytes):
        return _opened(Source("This", source), limits)
    if isinstance(source, Image.Image):
        return Picture("This", source)
    if isinstance(source, str | os.PathLike):
        return _opened(read_file(source, limits), limits)
    raise _refusal("This", f"it is a {type(source).__name__}; give a path, bytes, a Pillow image or a uint8 array.")


def read_source(source: ImageSource, limits: ImageLimits) -> Source:
    """A picture in hand, so that what is hashed and what is looked at are the same; raises ImageError."""
    if isinstance(source, Source):
        return source
    if isinstance(source, bytes):
        return Source("This", source)
    if isinstance(source, str | os.PathLike):
        return read_file(source, limits)
    return Source("This", np.array(open_picture(source, limits).pixels(None)))


def read_file(source: str | os.PathLike[str], limits: ImageLimits) -> Source:
    """A picture's file, read but not looked at; raises ImageError where it cannot be read."""
    path = Path(source)
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(path))
    return Source(name, _read(path, name, limits))


def _read(path: Path, name: str, limits: ImageLimits) -> bytes:
    """The file's bytes, at most one beyond the limit; never waits on a pipe or device."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _refusal(name, "it is a folder; name a file in it.")
        if not stat.S_ISREG(found.st_mode):
            raise _refusal(name, "it is a pipe or device, not a file.")
        # Not blocking: the file may have been replaced by a pipe since it was looked at.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - a Path cannot open a descriptor
            return file.read(min(found.st_size, limits.max_bytes) + 1)
    except FileNotFoundError as error:
        raise _refusal(name, "there is no such file; check the path.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refusal(name, f"it cannot be opened ({reason}).") from error


def _from_bytes(name: str, data: bytes, limits: ImageLimits) -> Picture:
    if not data:
        raise _refusal(name, "it is empty.")
    if len(data) > limits.max_bytes:
        raise _refusal(
            name,
            f"it has more bytes than the limit of {limits.max_bytes:,}; "
            "shrink it, or in Python raise max_bytes of ImageLimits.",
        )
    for start, module, plugin in _FORMATS:
        if data.startswith(start) and (start != b"RIFF" or data[8:12] == b"WEBP"):
            # Imported on first use, because all of them together would slow every start of the program.
            opener = getattr(import_module(f"PIL.{module}"), plugin)
            break
    else:
        raise _refusal(
            name,
            "it is not a JPEG, PNG, WEBP, GIF, BMP or TIFF file, whatever its name; save it as one of these.",
        )
    try:
        return Picture(name, opener(io.BytesIO(data)), data)
    except Exception as error:  # parsers fed with damaged headers raise nearly anything
        raise _undecodable(name, error) from error


def _from_array(array: np.ndarray) -> Image.Image:
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise _refusal(
            "This",
            f"it is an array of {array.dtype} {array.shape}; give uint8 [h, w, 3], [h, w, 4] or [h, w].",
        )
    if array.size == 0:
        raise _refusal("This", "it has no pixels.")
    return Image.fromarray(np.ascontiguousarray(array))


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB, transparency over white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
        lowest, highest = values.min(), values.max()
        stretched = (values - lowest) * (255.0 / ((highest - lowest) or 1.0))
        return Image.fromarray(stretched.round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGB", layer.size, "white")
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    return image.convert("RGB")


def _jpeg_factor(shorter: int, at_least: int | None) -> int:
    """1, 2, 4 or 8. JPEG decoders have fast paths for these alone: 7/8 takes twice as long as the whole."""
    factor = 1
    while at_least and factor < 8 and shorter // (2 * factor) >= at_least:
        factor *= 2
    return factor


def _undecodable(name: str, error: Exception) -> ImageError:
    if isinstance(error, Image.DecompressionBombError):  # Pillow's own limit, which it applies to TIFF and WEBP
        return _refusal(name, "it has more pixels than Pillow decodes; shrink it or save it as JPEG or PNG.")
    return _refusal(name, _DAMAGED)


def _refusal(name: str, reason: str) -> ImageError:
    return ImageError(f"{name} is not a picture Open-AutoGLM can read: {reason}")
