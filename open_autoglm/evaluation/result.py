"""What an evaluation was asked and what came out, as data.

It knows the metrics' shapes; it knows nothing about how they are measured or shown.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from open_autoglm.data.records import Problem
from open_autoglm.errors import SettingError
from open_autoglm.runtime.calibration import Match
from open_autoglm.runtime.similarity import SIMILARITIES

from .classification import Classification, ProbabilityFigures
from .directions import Direction
from .examples import Example, Mistake


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured and how.

    - ``similarity``: a key of ``runtime.similarity.SIMILARITIES``; None takes the one that the bundle was trained with.
      ``views``: the ``whole`` picture is compared, or its ``best_view``, as a search does; words are always compared
      with regions.
    - ``templates``: sentences for classes, ``{}`` being the class; empty takes the data's own descriptions of its
      classes, or else the bundle's template.
    - ``ks``: recall is given at these places. ``examples``: queries each way that are kept as pictures; 0 keeps none.

    Raises SettingError for a value out of range.
    """

    similarity: str | None = None
    views: Match = Match.WHOLE
    templates: tuple[str, ...] = ()
    ks: tuple[int, ...] = (1, 5, 10)
    examples: int = 0
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.similarity is not None and self.similarity not in SIMILARITIES:
            raise SettingError(f"similarity is {self.similarity!r}: it must be one of {', '.join(SIMILARITIES)}.")
        if self.views not in list(Match):
            raise SettingError(f"views is {self.views!r}: it must be one of {', '.join(Match)}.")
        object.__setattr__(self, "views", Match(self.views))  # YAML has words, not members
        if not self.ks or min(self.ks) < 1 or self.batch_size < 1 or self.examples < 0:
            raise SettingError("ks and batch_size must be at least 1, and examples at least 0.")


@dataclass(frozen=True)
class ZeroShot:
    """Classes by their names alone. ``retrieval``: each class as a query, all pictures ranked.

    ``texts``: what stands for each class. ``average_precision`` by class. ``probabilities`` where the similarity is
    what the bundle's probabilities are made of.
    """

    texts: dict[str, tuple[str, ...]]
    pictures: int
    classification: Classification
    retrieval: Direction
    average_precision: dict[str, float]
    probabilities: ProbabilityFigures | None


@dataclass(frozen=True)
class Evaluation:
    """What a bundle is worth on a data source; ``problems`` names each row, picture and text that was passed over."""

    bundle: str
    space: str
    data: str
    fingerprint: str
    settings: EvaluationSettings
    rows: int
    pictures: int
    texts: int
    image_to_text: Direction | None
    text_to_image: Direction | None
    zero_shot: ZeroShot | None
    problems: tuple[Problem, ...]
    seconds: float
    text_examples: tuple[Example, ...] = field(default=(), repr=False)
    picture_examples: tuple[Example, ...] = field(default=(), repr=False)
    mistakes: tuple[Mistake, ...] = field(default=(), repr=False)

    def figures(self) -> dict[str, float]:
        """Every figure by one name, such as ``text_to_image_r1``, ``zero_shot_top_1`` and ``class_map``."""
        found: dict[str, float] = {}
        for way, one in (("image_to_text", self.image_to_text), ("text_to_image", self.text_to_image)):
            if one:
                found |= {f"{way}_r{k}": estimate.value for k, estimate in one.recall.items()}
                found[f"{way}_map"] = one.mean_average_precision.value
                found[f"{way}_median_rank"] = one.median_rank
        if self.zero_shot:
            figures = self.zero_shot.classification
            found["zero_shot_top_1"], found["zero_shot_top_5"] = figures.top_1.value, figures.top_5.value
            found["zero_shot_mean_per_class"] = figures.mean_per_class
            found["class_map"] = self.zero_shot.retrieval.mean_average_precision.value
            if probabilities := self.zero_shot.probabilities:
                found["calibration_error"] = probabilities.calibration_error
        return found

    def as_dict(self, pictures: bool = False) -> dict[str, Any]:
        """All of it as JSON takes it. ``pictures``: with the examples, thumbnails being ``data:`` addresses."""
        shown = self if pictures else replace(self, text_examples=(), picture_examples=(), mistakes=())
        return asdict(shown, dict_factory=_jsonable) | {"figures": self.figures()}


def _jsonable(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Fields by name; a picture's bytes as the address that a page shows."""
    return {
        name: (f"data:image/jpeg;base64,{b64encode(value).decode()}" if value else "")
        if isinstance(value, bytes)
        else value
        for name, value in items
    }
