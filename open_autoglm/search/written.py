"""Full text search over what is written of pictures: file names, the names of their folders, texts in the metadata.

It knows the table of words, how triggers keep it, and words; it knows nothing about vectors or how scores are mixed.
"""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

MOST_TERMS = 32
MOST_FOUND = 2_000  # pictures that words are found for: more than anyone looks at
WORD = re.compile(r"[^\W_]+")
# They are written everywhere and say nothing of a picture.
EMPTY_WORDS = frozenset(
    {"a", "an", "and", "are", "as", "at", "by", "for", "from", "has", "in", "is", "it", "its", "of", "on", "or"}
    | {"that", "the", "this", "to", "was", "with", "image", "photo", "picture"}
)

# "dress12.jpg" is also found as "dress"; the last folder alone: those above it are the same for nearly all.
_NAME = "new.name || ' ' || " + reduce(lambda sql, digit: f"replace({sql}, '{digit}', ' ')", "0123456789", "new.name")
_FOLDER = "replace(new.folder, rtrim(new.folder, replace(new.folder, '/', '')), '')"
_FACTS = "coalesce((SELECT group_concat(value, ' ') FROM json_each(new.metadata) WHERE type = 'text'), '')"

# Kept by triggers, so that whatever changes a picture cannot forget its words.
TABLE = f"""
CREATE VIRTUAL TABLE written USING fts5(name, folder, facts, tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER written_insert AFTER INSERT ON pictures BEGIN
  INSERT INTO written (rowid, name, folder, facts) VALUES (new.id, {_NAME}, {_FOLDER}, {_FACTS});
END;
CREATE TRIGGER written_update AFTER UPDATE OF name, folder, metadata ON pictures BEGIN
  UPDATE written SET name = {_NAME}, folder = {_FOLDER}, facts = {_FACTS} WHERE rowid = new.id;
END;
CREATE TRIGGER written_delete AFTER DELETE ON pictures BEGIN
  DELETE FROM written WHERE rowid = old.id;
END;
"""  # noqa: S608  (never the user's)
FILL = f"""
INSERT INTO written (rowid, name, folder, facts)
  SELECT new.id, {_NAME}, {_FOLDER}, {_FACTS} FROM pictures AS new;
"""  # noqa: S608


def terms(text: str) -> list[str]:
    """The words of a text that are worth looking for, each once."""
    words = dict.fromkeys(word.lower() for word in WORD.findall(text))
    return [word for word in words if word not in EMPTY_WORDS][:MOST_TERMS]


@dataclass(frozen=True)
class Written:
    """How well words ``fit`` what is written of pictures, above 0, by id; ``whole``: those that have all of them."""

    fits: dict[int, float]
    whole: frozenset[int]


def find(connection: sqlite3.Connection, words: list[str], among: NDArray[np.int64] | None) -> Written:
    """What is found of any of the words: BM25 (Robertson et al., TREC-3), of at most MOST_FOUND pictures, the best.

    ``among`` are the only ids allowed.
    """
    if not words:
        return Written({}, frozenset())
    # In double quotes a word is nothing but a word: AND, NOT, NEAR and * mean nothing.
    quoted = [f'"{word}"' for word in words]
    allowed = "" if among is None else "AND rowid IN (SELECT value FROM json_each(?))"
    given = () if among is None else (json.dumps(among.tolist()),)
    query = (
        f"SELECT rowid, -bm25(written) FROM written WHERE written MATCH ? {allowed} "  # noqa: S608
        f"ORDER BY rank LIMIT {MOST_FOUND}"
    )
    any_of, all_of = (
        dict(connection.execute(query, (joint.join(quoted), *given)).fetchall()) for joint in (" OR ", " AND ")
    )
    fits = {id: max(float(fit), 0.0) for id, fit in (any_of | all_of).items()}
    return Written(fits, frozenset(all_of))
