"""What was read: pictures with their captions, what could not be used, and which pictures belong together.

It knows nothing about file formats or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .captions import as_words, same_text
from .labels import components
from .pictures import Picture, Spool

Positives = Literal["class", "caption", "picture"]
Boxes = tuple[tuple[float, ...], ...]  # x0 y0 x1 y1 each, fractions of the picture


@dataclass(frozen=True, slots=True)
class Record:
    """A picture, not decoded, with its captions (one at least).

    ``answers``: one for each caption, where captions are questions; otherwise empty. ``evidence``: for each answer the
    boxes that it rests on, or None where nobody said; empty where no data says. ``label``: the class's name.
    ``key``: equal for equal pictures. ``group``: the example's id, or None. ``where``: the place to name in messages.
    """

    picture: Picture = field(repr=False)
    captions: tuple[str, ...]
    label: str | None
    key: str
    group: str | None
    where: str
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    answers: tuple[str, ...] = ()
    evidence: tuple[Boxes | None, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A row that was skipped, or used with something left out, and why."""

    where: str
    reason: str
    skipped: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Records(Sequence[Record]):
    """Records in the order of the source, each picture once a class and group.

    ``rows``: rows read, skipped ones included. ``problems``: what was skipped, cut or left out.
    ``labels`` int64 [n]: equal for two pictures that match each other's texts; numbers need not be contiguous.
    ``classes``: the classes' names; ``class_ids`` int64 [n] points into them, -1 without a class.
    ``source``: in words, what was read from where.
    """

    records: tuple[Record, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()
    class_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    problems: tuple[Problem, ...] = ()
    rows: int = 0
    source: str = ""
    spool: Spool | None = field(default=None, repr=False)  # held, because its file lives as long as it does

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        return self.records[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def select(self, indices: Iterable[int]) -> Records:
        """Some of the records, in that order, with labels and classes as they are; problems stay behind."""
        chosen = np.fromiter(indices, np.int64)
        return replace(
            self,
            records=tuple(self.records[index] for index in chosen),
            labels=self.labels[chosen],
            class_ids=self.class_ids[chosen],
            problems=(),
            rows=len(chosen),
        )

    @property
    def pairs(self) -> int:
        """Captions over all pictures."""
        return sum(len(record.captions) for record in self.records)

    @property
    def names(self) -> tuple[str, ...]:
        """``classes`` as one would write them."""
        return tuple(map(as_words, self.classes))

    @property
    def skipped(self) -> int:
        """Rows that could not be used."""
        return sum(problem.skipped for problem in self.problems)

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits, equal for equal pictures, captions, classes and groups in the same order."""
        state = blake2b(digest_size=6)
        for record in self.records:
            for part in (record.key, record.label or "", record.group or "", *record.captions, *record.answers):
                data = part.encode("utf-8", errors="surrogateescape")
                state.update(len(data).to_bytes(8, "little") + data)
            state.update(b"\xff" * 8)
        return state.hexdigest()

    def class_captions(self) -> tuple[tuple[str, ...], ...]:
        """For each of ``classes`` the captions that all its pictures have; empty where they share none."""
        shared: dict[str, dict[str, None]] = {}
        for record in self.records:
            if record.label is not None:
                before = shared.get(record.label, record.captions)
                shared[record.label] = dict.fromkeys(text for text in before if text in record.captions)
        return tuple(tuple(shared.get(name, ())) for name in self.classes)

    def summary(self) -> str:
        """What was read, in words, for the start of a run."""
        parts = [f"{len(self):,} pictures", f"{self.pairs:,} captions"]
        parts += [f"{len(self.classes):,} classes"] if self.classes else []
        lines = [f"{', '.join(parts)}; {self.source}; fingerprint {self.fingerprint}"]
        lines += [f"{self.skipped:,} of {self.rows:,} rows skipped"] if self.skipped else []
        for skipped, title in ((True, "skipped"), (False, "used in part")):
            found = [str(problem) for problem in self.problems if problem.skipped == skipped]
            lines += [f"  {title}: {line}" for line in found[:5]]
            lines += [f"  {title}: {len(found) - 5:,} more"] if len(found) > 5 else []
        return "\n".join(lines)


def match(records: Sequence[Record], positives: Positives, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Labels int64 [n]: a class's number for its pictures; others share one where they share a caption or picture.

    ``caption`` and ``picture`` look past classes; ``picture`` past captions too.
    """
    members: list[list[tuple[str, str]]] = []
    for record in records:
        mine = [("picture", record.key)]
        if positives != "picture":
            mine += [("caption", same_text(caption)) for caption in record.captions]
        members.append(mine)
    if positives != "class":
        return components(members)
    number = {name: index for index, name in enumerate(classes)}
    rest = [index for index, record in enumerate(records) if record.label is None]
    labels = np.array([number[record.label] if record.label is not None else -1 for record in records], np.int64)
    labels[rest] = len(classes) + components([members[index] for index in rest])
    return labels


def merge(records: Iterable[Record]) -> list[Record]:
    """One record for rows of the same picture, class and group, with all their captions, or questions and answers."""
    together: dict[tuple[str, str | None, str | None], list[Record]] = {}
    for record in records:
        together.setdefault((record.key, record.label, record.group), []).append(record)
    return [joined(rows) if len(rows) > 1 else rows[0] for rows in together.values()]


def joined(rows: Sequence[Record]) -> Record:
    """The first of several records of a picture, with the captions of all, each once with each answer."""
    told = dict.fromkeys(one for row in rows for one in zip_longest(row.captions, row.answers, row.evidence))
    captions, answers, evidence = zip(*told, strict=True)
    first = rows[0]
    return replace(
        first,
        captions=captions,
        answers=answers if first.answers else (),
        evidence=evidence if first.evidence else (),
    )


def class_names(records: Sequence[Record], given: tuple[str, ...]) -> tuple[str, ...]:
    """The given names, or those that occur, by the alphabet."""
    return given or tuple(sorted(Counter(record.label for record in records if record.label is not None)))
