"""Looks over questions: whether their words alone give the answers away, and answers that training lacks.

It knows nothing about pictures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from open_autoglm.data import Records
from open_autoglm.data.captions import same_text

from .preflight_finding import Finding

_ASKED = 5  # a question asked less often says little about how it is answered
_GIVEN_AWAY = 0.75  # share of questions from which a word is due


def check_questions(splits: Mapping[str, Records]) -> Iterator[Finding]:
    """Findings on ``splits`` of questions with answers, ``train`` first."""
    for name, records in splits.items():
        yield from _given_away(name, records)
    first, *rest = splits.items()
    known = {answer for record in first[1] for answer in record.answers}
    for name, records in rest:
        answers = [answer for record in records for answer in record.answers]
        if lacking := [answer for answer in answers if answer not in known]:
            yield Finding(
                "answers without training",
                "warning",
                f"{len(lacking):,} of the {len(answers):,} answers of {name} are none of {first[0]}'s.",
                "They count as wrong: ask such questions in training too, or correct the spelling.",
                len(lacking),
                tuple(dict.fromkeys(lacking))[:5],
            )


def _given_away(name: str, records: Records) -> Iterator[Finding]:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for question, answer in zip(record.captions, record.answers, strict=True):
            answers[same_text(question)][answer] += 1
    often = {question: count for question, count in answers.items() if count.total() >= _ASKED}
    asked, usual = (sum(how(one) for one in often.values()) for how in (Counter.total, _usual))
    if usual > _GIVEN_AWAY * asked:
        worst = sorted(often, key=lambda question: -_usual(often[question]))
        yield Finding(
            "questions that give their answers away",
            "warning",
            f"Who always says what is usual for a question is right {usual / asked:.0%} of the time in {name}, without "
            "looking.",
            "Ask each question as often of pictures with another answer.",
            asked,
            tuple(f"{question} {often[question].most_common(1)[0][0]}" for question in worst[:5]),
        )


def _usual(answers: Counter[str]) -> int:
    """How often a question has its most frequent answer."""
    return max(answers.values())
