"""Looks over the data before a training: leaks between splits, lost files, captions, classes and the batch.

Each finding says in plain words what is wrong and what to change; it knows nothing about the model or the trainer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from open_autoglm.data import Record, Records
from open_autoglm.data.captions import same_text
from open_autoglm.data.labels import components
from open_autoglm.runtime.images import ImageLimits

from .preflight_finding import BatchPlan, Finding, Severity
from .preflight_labels import check_batch, check_classes
from .preflight_lookalikes import Looks, alike, look
from .preflight_questions import check_questions
from .preflight_texts import check_captions

__all__ = ["BatchPlan", "Finding", "check_data"]

_ALIKE_WITHIN = 0.05  # share of a split's pictures that may look alike before it is worth a word


def check_data(
    splits: Mapping[str, Records],
    plan: BatchPlan | None = None,
    limits: ImageLimits | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Finding, ...]:
    """What is wrong with ``splits`` (``train`` first, by any names), the worst first.

    Decodes every picture once: a millisecond each, and seconds for comparing 100,000. ``progress`` is told how many
    pictures of all splits were looked at.
    """
    names = [name for name, records in splits.items() for _ in range(len(records))]
    records = list(chain.from_iterable(splits.values()))
    looks = look(records, limits, progress)
    findings = [
        *_lost(splits),
        *_unreadable(records, looks),
        *_alike(names, records, looks),
        *_shared_groups(splits),
    ]
    if any(record.answers for record in records):  # questions are meant to be shared, and are no negatives
        findings += check_questions(splits)
    else:
        findings += _captions(splits, plan or BatchPlan())
    findings += check_classes(splits)
    return tuple(sorted(findings, key=lambda finding: finding.rank))


def _captions(splits: Mapping[str, Records], plan: BatchPlan) -> Iterator[Finding]:
    """Findings on texts that are compared with the pictures of a batch."""
    yield from _shared_captions(splits)
    for place, (name, part) in enumerate(splits.items()):
        yield from check_captions(name, part, plan)
        if place == 0:
            yield from check_batch(name, part, plan)


def _lost(splits: Mapping[str, Records]) -> Iterator[Finding]:
    for name, records in splits.items():
        if records.skipped:
            skipped = [problem for problem in records.problems if problem.skipped]
            yield Finding(
                "skipped rows",
                "warning",
                f"{len(skipped):,} of {records.rows:,} rows of {name} were skipped.",
                "Repair these rows, or go on without them.",
                len(skipped),
                tuple(str(problem) for problem in skipped[:5]),
            )


def _unreadable(records: list[Record], looks: Looks) -> Iterator[Finding]:
    missing = {
        index for index in looks.failures if isinstance(path := records[index].picture, Path) and not path.exists()
    }
    for kind, chosen in (("missing files", missing), ("unreadable pictures", set(looks.failures) - missing)):
        if chosen:
            yield Finding(
                kind,
                "error",
                f"{len(chosen):,} of {len(records):,} pictures cannot be read.",
                "Put the files back where the data names them, or load the data again without them.",
                len(chosen),
                tuple(f"{records[index].where}: {looks.failures[index]}" for index in sorted(chosen)[:5]),
            )


def _alike(names: list[str], records: list[Record], looks: Looks) -> Iterator[Finding]:
    """Leaks, contradictions and repetitions, each from groups of pictures that are or look the same."""
    same = list(_grouped(np.unique(np.array(looks.digests), return_inverse=True)[1], looks))
    nearly = [group for group in _grouped(_joined(alike(looks), len(records)), looks) if _bytes(group, looks) > 1]
    advice = "Take them out of one of the splits, or split again with open_autoglm.data.split: the figures on the "
    advice += "validation split are too good otherwise."
    leaks = [group for group in same if len({names[index] for index in group}) > 1]
    yield from _named("same pictures in two splits", "error", leaks, names, records, advice)
    leaks = [group for group in nearly if _leaks_only_alike(group, names, looks)]
    yield from _named("pictures that look the same in two splits", "warning", leaks, names, records, advice)
    torn = [group for group in same if len({records[index].label for index in group if records[index].label}) > 1]
    advice = "Decide which class it is, or describe it in captions instead of a class."
    yield from _named("one picture in several classes", "warning", torn, names, records, advice)
    inside = [part for group in nearly for part in _parts(group, names) if len(part) > 1]
    if sum(map(len, inside)) > _ALIKE_WITHIN * len(records):
        yield from _named(
            "pictures that look the same",
            "note",
            inside,
            names,
            records,
            "Keep one of each, or give them one caption or class: as each other's negatives they teach nothing.",
        )


def _parts(group: list[int], names: list[str]) -> list[list[int]]:
    """The group's pictures split by split."""
    parts = defaultdict(list)
    for index in group:
        parts[names[index]].append(index)
    return list(parts.values())


def _leaks_only_alike(group: list[int], names: list[str], looks: Looks) -> bool:
    """Whether the splits meet here in pictures whose bytes differ; equal ones are reported on their own."""
    by_bytes = defaultdict(set)
    for index in group:
        by_bytes[looks.digests[index]].add(names[index])
    return len(set().union(*by_bytes.values())) > max(len(splits) for splits in by_bytes.values())


def _bytes(group: list[int], looks: Looks) -> int:
    return len({looks.digests[index] for index in group})


def _joined(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """A number a picture [count], the same for those that pairs join."""
    members: list[list[int]] = [[] for _ in range(count)]
    for number, pair in enumerate(pairs.tolist()):
        for index in pair:
            members[index].append(number)
    return components(members)


def _grouped(numbers: NDArray[np.int64], looks: Looks) -> Iterator[list[int]]:
    """Indices of one number together, where there are two readable ones at least."""
    groups = defaultdict(list)
    for index, number in enumerate(numbers.tolist()):
        if looks.digests[index]:
            groups[number].append(index)
    yield from (group for group in groups.values() if len(group) > 1)


def _shared_groups(splits: Mapping[str, Records]) -> Iterator[Finding]:
    """Examples whose rows lie in two splits, which a new picture of them does not make independent."""
    homes = defaultdict(set)
    for name, records in splits.items():
        for record in records:
            if record.group is not None:
                homes[record.group].add(name)
    if shared := [group for group, places in homes.items() if len(places) > 1]:
        yield Finding(
            "same groups in two splits",
            "error",
            f"{len(shared):,} groups of examples lie in more than one split.",
            "Split by group, as open_autoglm.data.split does.",
            len(shared),
            tuple(shared[:5]),
        )


def _shared_captions(splits: Mapping[str, Records]) -> Iterator[Finding]:
    """Captions that two splits share; those of classes are meant to be."""
    sets = {
        name: {same_text(caption) for record in records if record.label is None for caption in record.captions}
        for name, records in splits.items()
    }
    for (name, captions), (other, others) in combinations(sets.items(), 2):
        if shared := sorted(captions & others):
            yield Finding(
                "same captions in two splits",
                "warning",
                f"{len(shared):,} of the {len(others):,} captions of {other} are in {name} too.",
                "Where the captions describe single pictures, keep each in one split; recall is too good otherwise.",
                len(shared),
                tuple(shared[:5]),
            )


def _named(
    kind: str, severity: Severity, groups: list[list[int]], names: list[str], records: list[Record], advice: str
) -> Iterator[Finding]:
    if groups:
        count = sum(map(len, groups))
        # Two of each split show what is wrong; a group may have thousands.
        shown = [[index for part in _parts(group, names) for index in part[:2]][:4] for group in groups[:5]]
        examples = tuple(", ".join(f"{names[index]}: {records[index].where}" for index in group) for group in shown)
        yield Finding(
            kind, severity, f"{kind.capitalize()}: {count:,} in {len(groups):,} groups.", advice, count, examples
        )
