"""Pictures of every kind come in right side up and in RGB; everything else is refused in one clear sentence."""

from __future__ import annotations

import io
import os
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from open_autoglm.errors import ImageError, SettingError
from open_autoglm.runtime.decoding import DEFAULT_LIMITS, open_picture
from open_autoglm.runtime.images import ImageLimits, Preprocessing, decode, prepare, size, thumbnail

HALF = (0.5, 0.5, 0.5)


def scene(width: int = 320, height: int = 240) -> Image.Image:
    """A smooth picture whose four corners differ, so that every wrong turn shows."""
    y, x = np.mgrid[0:height, 0:width]
    red = 255 * x / width
    green = 255 * y / height
    blue = 127 + 120 * np.sin(x * 12 / width) * np.cos(y * 9 / height)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def refused(source: object, limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        decode(source, limits or ImageLimits())  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    assert "is not a picture Open-AutoGLM can read: " in message
    return message


JPEG = encoded(scene(), "JPEG", quality=90)
PNG = encoded(scene())


# --- what comes in, and how


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "MPO"])
def test_every_format_decodes(format: str) -> None:
    pixels = decode(encoded(scene(), format))
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable
    assert distance(pixels, np.asarray(scene())) < 8


def test_files_arrays_and_pillow_images_agree(tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(PNG)
    expected = np.asarray(scene())
    for source in (file, str(file), PNG, scene(), expected, np.asfortranarray(expected)):
        np.testing.assert_array_equal(decode(source), expected)


def test_a_file_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "really-a-png.jpg"
    file.write_bytes(PNG)
    np.testing.assert_array_equal(decode(file), np.asarray(scene()))


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(file)).write_bytes(PNG)
    assert decode(os.fsdecode(file)).shape == (240, 320, 3)
    Path(os.fsdecode(file)).write_bytes(b"")
    refused(os.fsdecode(file)).encode("utf-8")  # the sentence can be printed


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "CMYK"])
def test_modes_become_rgb(mode: str) -> None:
    image = scene().convert(mode)
    np.testing.assert_array_equal(decode(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 4))
    pixels = decode(image.convert(mode))
    assert (pixels[:, :4] == 0).all() and (pixels[:, 4:] == 255).all()


def test_a_palette_with_transparency_lies_over_white() -> None:
    image = Image.new("PA", (2, 1), (0, 0))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), (1, 255))
    assert decode(image).tolist() == [[[255, 255, 255], [0, 0, 200]]]


def test_half_transparency_mixes_with_white() -> None:
    assert decode(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_palette_colour_is_white(format: str) -> None:
    image = Image.new("P", (8, 4), 1)
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.paste(0, (0, 0, 4, 4))
    pixels = decode(encoded(image, format, transparency=0))
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[0, 7].tolist() == [0, 0, 200]


def test_a_transparent_colour_of_an_rgb_png_is_white() -> None:
    image = Image.new("RGB", (4, 4), (10, 20, 30))
    assert decode(encoded(image, "PNG", transparency=(10, 20, 30)))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_brightness(format: str) -> None:
    ramp = np.linspace(0, 65535, 256 * 4).reshape(4, 256).astype(np.uint16)
    pixels = decode(encoded(Image.fromarray(ramp), format))
    np.testing.assert_array_equal(pixels[..., 0], ramp >> 8)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bit_grey_is_stretched(kind: type) -> None:
    ramp: np.ndarray = np.linspace(-1000, 90_000, 256).reshape(1, 256).astype(kind)
    pixels = decode(encoded(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_allclose(pixels[0, :, 1], np.arange(256), atol=1)
    flat = decode(Image.fromarray(np.full((2, 2), 7, kind)))
    assert (flat == flat[0, 0]).all()


def test_values_that_are_not_numbers_do_no_harm() -> None:
    assert decode(Image.fromarray(np.array([[np.nan, np.inf], [0, 1]], np.float32))).max() == 255


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    photo = encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in photo  # such files store inverted inks
    red, green, blue = decode(photo)[16, 16].tolist()
    assert red > 240 and green < 15 and blue < 15


def test_a_grey_jpeg_has_three_channels() -> None:
    photo = encoded(scene().convert("L"), "JPEG")
    pixels = decode(photo)
    assert pixels.shape == (240, 320, 3) and (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_shows_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    animation = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    red, green, blue = decode(animation)[8, 8].tolist()
    assert red > 240 and green < 15 and blue < 15


def test_arrays_of_grey_and_with_transparency() -> None:
    assert decode(np.full((2, 3), 9, np.uint8)).tolist() == np.full((2, 3, 3), 9).tolist()
    assert (decode(np.zeros((2, 3, 4), np.uint8)) == 255).all()


def test_stray_bytes_between_jpeg_segments_are_forgiven() -> None:
    scan = JPEG.index(b"\xff\xda")
    stray = JPEG[:scan] + b"\x00" * 7 + JPEG[scan:]
    np.testing.assert_array_equal(decode(stray), decode(JPEG))


# --- right side up

TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


def tagged(orientation: int, format: str, image: Image.Image | None = None) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image or scene(), format, exif=exif)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied(orientation: int, format: str) -> None:
    picture = tagged(orientation, format)
    pixels = decode(picture)
    assert distance(pixels, TURNS[orientation](np.asarray(scene()))) < 5
    assert size(picture) == (pixels.shape[1], pixels.shape[0])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_was_turned_is_not_turned_again(format: str) -> None:
    turned = open_picture(tagged(6, format), DEFAULT_LIMITS).pixels(None)
    assert np.array_equal(decode(turned), np.asarray(turned))


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied_to_a_scaled_decode(orientation: int) -> None:
    large = scene(1600, 1200)
    pixels = decode(tagged(orientation, "JPEG", large), at_least=300)
    assert distance(pixels, TURNS[orientation](np.asarray(large.resize((400, 300))))) < 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(orientation: int) -> None:
    assert decode(tagged(orientation, "JPEG")).shape == (240, 320, 3)


def test_damaged_exif_does_not_cost_the_picture() -> None:
    picture = tagged(6, "JPEG")
    start = picture.index(b"Exif\0\0") + 6
    broken = picture[:start] + b"\xff" * 8 + picture[start + 8 :]
    assert decode(broken).shape == (240, 320, 3)


# --- scaled decoding


def test_a_photo_is_decoded_small_and_still_looks_the_same() -> None:
    photo = encoded(scene(4032, 3024), "JPEG", quality=90)
    small = decode(photo, at_least=384)
    assert small.shape == (756, 1008, 3)
    full = Image.fromarray(decode(photo)).resize((1008, 756), Image.Resampling.BOX)
    assert distance(small, np.asarray(full)) < 1.5


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_scaled_decode_is_never_below_what_was_asked(mode: str) -> None:
    for width, height, least in ((801, 603, 300), (801, 603, 302), (97, 1000, 50), (33, 33, 4), (15, 15, 1)):
        photo = encoded(scene(width, height).convert(mode), "JPEG")
        assert min(decode(photo, at_least=least).shape[:2]) >= least
    assert decode(encoded(scene(801, 603).convert(mode), "JPEG"), at_least=301).shape[:2] == (302, 401)
    assert decode(encoded(scene(801, 603).convert(mode), "JPEG"), at_least=302).shape[:2] == (603, 801)


# --- preparing for a tower


def test_squash_resizes_to_exactly_the_size() -> None:
    squash = Preprocessing(height=96, width=128, resize="squash", mean=HALF, std=HALF)
    expected = np.asarray(scene().resize((128, 96), Image.Resampling.BICUBIC))
    assert prepare(PNG, squash).shape == (96, 128, 3)
    assert distance(prepare(PNG, squash), expected) < 1


def test_squash_from_a_phone_photo_is_close_to_the_full_decode() -> None:
    large = scene(4032, 3024)
    squash = Preprocessing(height=384, width=384, resize="squash", mean=HALF, std=HALF)
    expected = np.asarray(large.resize((384, 384), Image.Resampling.BICUBIC))
    assert distance(prepare(encoded(large, "JPEG", quality=90), squash), expected) < 1.5


@pytest.mark.parametrize("crop_from", [None, 256])
@pytest.mark.parametrize("shape", [(321, 243), (243, 321), (224, 224), (100, 90)])
def test_crop_is_a_resize_and_a_centre_crop(crop_from: int | None, shape: tuple[int, int]) -> None:
    image = scene(*shape)
    crop = Preprocessing(224, 224, "crop", HALF, HALF, crop_from=crop_from)
    shortest = crop_from or 224
    width, height = (int(shortest * side / min(shape)) for side in shape)
    left, top = (width - 224) // 2, (height - 224) // 2
    expected = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    assert distance(prepare(image, crop), np.asarray(expected)) < 0.1


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 60_000), (60_000, 1)])
def test_extreme_shapes_are_prepared(resize: str, shape: tuple[int, int]) -> None:
    preprocessing = Preprocessing(224, 224, resize, HALF, HALF)  # type: ignore[arg-type]
    assert prepare(Image.new("RGB", shape, "red"), preprocessing).tolist() == [[[255, 0, 0]] * 224] * 224


@pytest.mark.parametrize(
    "wrong",
    [{"height": 0}, {"resize": "stretch"}, {"resample": "magic"}, {"crop_from": 100}, {"width": 300}],
)
def test_preprocessing_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    values = {"height": 224, "width": 224, "resize": "crop", "mean": HALF, "std": HALF} | wrong
    with pytest.raises(SettingError):
        Preprocessing(**values)  # type: ignore[arg-type]


def test_size_reads_the_header_alone() -> None:
    assert size(PNG) == (320, 240)
    assert size(PNG[:200]) == (320, 240)
    with pytest.raises(ImageError):
        size(b"words")


def test_thumbnails_keep_the_shape_and_never_grow() -> None:
    assert size(thumbnail(encoded(scene(1600, 1200), "JPEG"), 200)) == (200, 150)
    assert size(thumbnail(tagged(6, "JPEG", scene(1600, 1200)), 200)) == (150, 200)
    assert size(thumbnail(PNG, 1000)) == (320, 240)
    assert size(thumbnail(Image.new("RGB", (5000, 2)), 100)) == (100, 1)
    assert thumbnail(PNG, 64).startswith(b"\xff\xd8\xff")


# --- what is refused


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG"])
def test_a_file_cut_short_is_refused(format: str) -> None:
    data = encoded(scene(), format)
    for kept in (0.1, 0.5, 0.9):
        assert "copy it again" in refused(data[: int(len(data) * kept)])


def test_a_cut_jpeg_is_refused_on_every_route() -> None:
    inks = encoded(scene().convert("CMYK"), "JPEG")
    for photo in (JPEG, inks):
        assert "cut short" in refused(photo[: len(photo) // 2])
        assert "cut short" in refused(photo[:-2])
    with pytest.raises(ImageError):
        decode(encoded(scene(1600, 1200), "JPEG")[:-100], at_least=200)


def test_a_jpeg_whose_second_half_is_missing_is_refused_though_it_ends_well() -> None:
    assert "damaged" in refused(JPEG[: len(JPEG) // 2] + b"\xff\xd9")


def test_a_png_with_a_flipped_byte_is_refused() -> None:
    middle = PNG.index(b"IDAT") + 40
    assert "damaged" in refused(PNG[:middle] + bytes([PNG[middle] ^ 0xFF]) + PNG[middle + 1 :])


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    (tmp_path / "drawing.svg").write_text("<svg/>")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    assert refused(tmp_path / "empty.jpg").startswith(f"{tmp_path}/empty.jpg ")
    assert refused(tmp_path / "empty.jpg").endswith("can read: it is empty.")
    assert "not a JPEG, PNG" in refused(tmp_path / "letter.jpg")
    assert "not a JPEG, PNG" in refused(tmp_path / "drawing.svg")
    assert "folder" in refused(tmp_path / "folder.png")
    assert "no such file" in refused(tmp_path / "missing.png")
    assert "no such file" in refused(tmp_path / "gone.png")
    assert "cannot be opened" in refused("a\0b.png")
    assert "cannot be opened" in refused(tmp_path / "letter.jpg" / "inside.png")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    assert "cannot be opened" in refused(loop)


def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "pipe or device" in refused(tmp_path / "pipe.jpg")
    assert "pipe or device" in refused("/dev/zero")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_an_array_of_another_kind_is_refused(array: np.ndarray) -> None:
    refused(array)


@pytest.mark.parametrize("source", [None, 7, ["a.jpg"], Image.new("RGB", (0, 5))])
def test_what_cannot_be_a_picture_is_refused(source: object) -> None:
    refused(source)


def bomb(width: int, height: int) -> bytes:
    """A PNG of that many white pixels, whose bytes compress a thousandfold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + b"\xff" * (width // 8)
    deflate = zlib.compressobj(9)
    body = b"".join([deflate.compress(row) for _ in range(height)] + [deflate.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_170_megapixel_png_is_refused_before_it_is_decoded() -> None:
    data = bomb(13_600, 12_500)
    assert len(data) < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "170,000,000 pixels (13600 x 12500)" in refused(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # kilobytes; decoded, it has 21 MB


def test_limits_are_the_callers(tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(PNG)
    assert "76,800 pixels" in refused(file, ImageLimits(max_pixels=76_799))
    assert decode(file, ImageLimits(max_pixels=76_800)).shape == (240, 320, 3)
    assert "more bytes" in refused(file, ImageLimits(max_bytes=len(PNG) - 1))
    assert decode(file, ImageLimits(max_bytes=len(PNG))).shape == (240, 320, 3)
    for source in (scene(), np.asarray(scene())):
        assert "76,800 pixels" in refused(source, ImageLimits(max_pixels=76_799))


def test_the_limit_of_pillow_is_not_changed_and_matters_only_where_it_cannot_be_passed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for format in ("PNG", "JPEG", "BMP"):
        assert decode(encoded(scene(), format)).shape == (240, 320, 3)
    for format in ("TIFF", "WEBP"):
        assert "more pixels than Pillow decodes" in refused(encoded(scene(), format))
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    progressive = encoded(scene(), "JPEG", progressive=True)
    assert decode(progressive).shape == (240, 320, 3)
    last = progressive.rindex(b"\xff\xda")
    assert "scans" in refused(progressive[:last] + progressive[last:-2] * 200 + b"\xff\xd9")


# --- nothing but ImageError, whatever the bytes

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STARTS = [b"", JPEG[:300], PNG[:60], b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\x40\0\0\0WEBPVP8 "]
SMALL = [encoded(scene(48, 40), format) for format in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")] + [
    encoded(scene(48, 40), "JPEG", progressive=True),
    encoded(scene(48, 40).convert("CMYK"), "JPEG"),
    tagged(6, "JPEG", scene(48, 40)),
]


def reads_or_refuses(data: bytes) -> None:
    limits = ImageLimits(max_pixels=1_000_000)
    for at_least in (None, 8):
        try:
            pixels = decode(data, limits, at_least)
        except ImageError:
            continue
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    try:
        width, height = size(data)
        assert width > 0 and height > 0
    except ImageError:
        pass


@FUZZ
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=400))
def test_random_bytes_never_break_it(start: bytes, rest: bytes) -> None:
    reads_or_refuses(start + rest)


@FUZZ
@given(
    picture=st.sampled_from(SMALL),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.floats(0.5, 1),
)
def test_damaged_pictures_never_break_it(picture: bytes, places: list[tuple[float, int]], cut: float) -> None:
    damaged = bytearray(picture)
    for place, value in places:
        damaged[int(place * len(damaged))] = value
    reads_or_refuses(bytes(damaged[: int(cut * len(damaged))]))
