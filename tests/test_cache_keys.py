"""Cache keys keep tenants apart, and values come back as they were or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cache_parts import LATER, same
from hypothesis import given
from hypothesis import strategies as st

from open_autoglm.cache.codec import pack, renewed, unpack
from open_autoglm.cache.keys import Key
from open_autoglm.cache.tree import Tree
from open_autoglm.errors import SettingError
from open_autoglm.runtime.answers import Answer, Grounding
from open_autoglm.runtime.describing import Description
from open_autoglm.runtime.fusion import Looked
from open_autoglm.runtime.seeing import Seen
from open_autoglm.runtime.similarity import Queries, Words

PARTS = st.lists(st.text(alphabet=":%;/ab\ud800é", min_size=1, max_size=4), min_size=1, max_size=4).map(tuple)
KEY = Key.of("space", "tenant", "image", "abc", "seen")


@given(PARTS, PARTS)
def test_a_name_says_which_key_it_is_and_whether_it_is_below_another(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    first, second = Key(one), Key(other)
    assert (first.text == second.text) == (one == other)
    assert Key.parse(first.text) == first
    start, end = first.span
    below = start <= second.text < end
    assert below == (first.covers(second) and one != other) == (other[: len(one)] == one and one != other)


def test_a_tenant_whose_name_looks_like_a_key_is_beside_the_others() -> None:
    victim = Key.of("space", "a", "user", "1")
    for forged in ("a:user", "a:user:1", "a%3Auser", "a;"):
        assert not Key.of("space", forged).covers(victim)
        assert not victim.text.startswith(Key.of("space", forged).text)


@pytest.mark.parametrize("parts", [(), ("",), ("a", ""), ("a", "x" * 257), ("a", 1), ("a", None)])
def test_a_part_that_is_no_name_is_refused(parts: Any) -> None:
    with pytest.raises(SettingError, match="cache key"):
        Key(parts)


@given(st.sets(PARTS, max_size=12), st.sets(PARTS, max_size=6), PARTS)
def test_the_tree_finds_what_is_below(
    added: set[tuple[str, ...]], gone: set[tuple[str, ...]], at: tuple[str, ...]
) -> None:
    tree, prefix = Tree(), Key(at)
    for parts in added:
        tree.add(Key(parts))
    for parts in gone:
        tree.discard(Key(parts))
    left = {Key(parts) for parts in added - gone}
    assert set(tree.below(prefix)) == {key for key in left if prefix.covers(key) and key != prefix}
    for key in left:
        tree.discard(key)
    assert not tree._next and not tree._keys


def numbers(*shape: int, kind: Any = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape)).astype(kind).reshape(shape)


GROUNDING = Grounding(numbers(2, 4), numbers(2), numbers(3, 5))
VALUES = [
    None,
    True,
    -3,
    0.1,
    "é\N{SNOWMAN}",
    b"\0bytes",
    (1, ("a", None)),
    {"a": numbers(2), "b": {1: 2.5}},
    numbers(0, 7),
    numbers(3, 4, 5)[:, ::2].transpose(2, 0, 1),
    np.array(7.5),
    *(numbers(5, kind=kind) for kind in (np.bool_, np.uint8, np.int16, np.int64, np.float16, np.float64, ">f4")),
    Answer("yes", 0.9, GROUNDING, ""),
    Answer(None, 0.0, reason="It cannot tell."),
    Seen(640, 480, numbers(3, 8), (numbers(2, 2, 8), numbers(3, 3, 8))),
    Looked(numbers(5, 4), numbers(1, 5, 6)),
    Description("a cup", 2, 0.5, True),
    Queries(numbers(1, 8), Words(numbers(1, 2, 8), np.ones((1, 2), np.bool_), (("a", ""),))),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    kept = pack(KEY, value, LATER)
    read = unpack(KEY, bytes(kept.packed))
    assert read is not None and read.expires == LATER
    same(value, kept.value)
    same(value, read.value)
    longer = renewed(KEY, kept, LATER + 1)
    again = unpack(KEY, longer.packed)
    assert again is not None and again.expires == LATER + 1
    same(value, again.value)


def test_a_list_comes_back_as_a_tuple() -> None:
    same((1, (2,)), pack(KEY, [1, [2]], LATER).value)


def test_what_is_kept_cannot_be_changed_by_who_reads_it() -> None:
    mine = numbers(4)
    kept = pack(KEY, Looked(mine, numbers(1, 2, 3)), LATER)
    mine[0] = 100
    assert kept.value.boxes[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        kept.value.boxes[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        kept.value.boxes.flags.writeable = True


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, np.array(["text"]), np.array([object()]), np.float32(1), 1j, 2**70]
)
def test_what_cannot_be_kept_is_refused(value: Any) -> None:
    for one in (value, (value,), Answer("yes", value)):
        with pytest.raises(SettingError, match="cannot be cached"):
            pack(KEY, one, LATER)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_anywhere_makes_it_a_miss(place: int, change: int) -> None:
    packed = bytearray(pack(KEY, Answer("yes", 0.5, GROUNDING), LATER).packed)
    packed[place % len(packed)] ^= change
    assert unpack(KEY, bytes(packed)) is None


@given(st.integers(0, 10_000))
def test_a_value_cut_short_is_a_miss(length: int) -> None:
    packed = bytes(pack(KEY, Answer("yes", 0.5, GROUNDING), LATER).packed)
    assert unpack(KEY, packed[: length % len(packed)]) is None


@given(st.binary(max_size=200))
def test_what_somebody_else_wrote_is_a_miss(content: bytes) -> None:
    assert unpack(KEY, content) is None


def test_a_value_under_another_key_is_a_miss() -> None:
    packed = pack(KEY, "tenant's own", LATER).packed
    assert unpack(Key.of("space", "another", "image", "abc", "seen"), packed) is None
