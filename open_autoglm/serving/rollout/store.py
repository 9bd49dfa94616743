"""Keeps rollouts in one SQLite database: what is live, the evidence, every decision. It is the one owner of them.

Processes that share it agree, and what was committed survives a crash. It knows nothing of what is decided or why.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SettingError
from .figures import fresh
from .plan import Plan
from .sequential import Evidence
from .state import Decision, State

_BUSY_SECONDS = 10
_GROWTH = 1.05  # a moment is kept for the chart when so many times more was compared than at the last one
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS decisions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, rollout TEXT NOT NULL, kind TEXT NOT NULL,
  by TEXT NOT NULL, sentence TEXT NOT NULL, figures TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS evidence (
  rollout TEXT, name TEXT, n INTEGER NOT NULL, total REAL NOT NULL,
  wealth BLOB NOT NULL,  -- float64 [2, values, fractions]
  PRIMARY KEY (rollout, name)
);
CREATE TABLE IF NOT EXISTS others (rollout TEXT, name TEXT, n INTEGER, total REAL, PRIMARY KEY (rollout, name));
CREATE TABLE IF NOT EXISTS moments (rollout TEXT, compared INTEGER, body TEXT, PRIMARY KEY (rollout, compared));
CREATE TABLE IF NOT EXISTS told (rollout TEXT, who TEXT, minute INTEGER, PRIMARY KEY (rollout, who, minute));
CREATE TRIGGER IF NOT EXISTS kept BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions are kept'); END;
CREATE TRIGGER IF NOT EXISTS stays BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions are kept'); END;
"""


class Store:
    """One connection, for the threads of one process; in memory where no file is given. Raises SettingError."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.RLock()
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                file or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise SettingError(f"Rollouts cannot be kept in {file} ({error}): choose another file.") from error

    def close(self) -> None:
        """The file stays."""
        with self._lock:
            self._database.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is read and written inside happens at once, or not at all; no other process comes between."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def state(self) -> State:
        """What is live and under way."""
        row = self._row("SELECT body FROM state")
        return State.read(row[0]) if row else State()

    def put(self, state: State) -> None:
        """From now on this is live and under way."""
        self._run("INSERT OR REPLACE INTO state VALUES (1, ?)", state.written())

    def note(self, decision: Decision) -> None:
        """Appends a decision; none is ever changed."""
        self._run(
            "INSERT INTO decisions (at, rollout, kind, by, sentence, figures) VALUES (?, ?, ?, ?, ?, ?)",
            decision.at,
            decision.rollout,
            decision.kind,
            decision.by,
            decision.sentence,
            json.dumps(decision.figures),
        )

    def decisions(self, most: int = 100) -> list[Decision]:
        """The latest ones, newest first."""
        rows = self._rows(
            "SELECT at, rollout, kind, by, sentence, figures FROM decisions ORDER BY id DESC LIMIT ?", most
        )
        return [Decision(at, rollout, kind, by, why, json.loads(text)) for at, rollout, kind, by, why, text in rows]

    def evidence(self, rollout: str, plan: Plan) -> dict[str, Evidence]:
        """All tests of a rollout that have seen something."""
        found = {}
        for name, n, total, wealth in self._rows(
            "SELECT name, n, total, wealth FROM evidence WHERE rollout = ?", rollout
        ):
            start = fresh(name, plan)
            found[name] = Evidence(start.values, np.frombuffer(wealth).reshape(start.wealth.shape), n, total)
        return found

    def keep(self, rollout: str, name: str, evidence: Evidence) -> None:
        """A test's evidence as it now is."""
        self._run(
            "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?)",
            rollout,
            name,
            evidence.n,
            evidence.total,
            evidence.wealth.tobytes(),
        )

    def count(self, rollout: str, name: str, n: int, total: float) -> None:
        """Adds to a figure that no rule looks at."""
        self._run(
            "INSERT INTO others VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET n = n + excluded.n, total = total + excluded.total",
            rollout,
            name,
            n,
            total,
        )

    def others(self, rollout: str) -> dict[str, tuple[int, float]]:
        """Those figures by name: how many, and their sum."""
        rows = self._rows("SELECT name, n, total FROM others WHERE rollout = ?", rollout)
        return {name: (n, total) for name, n, total in rows}

    def remember(self, rollout: str, compared: int, figures: Mapping[str, Any]) -> None:
        """Keeps how the figures stand now, unless the last time that was done is hardly past."""
        last = self._row("SELECT max(compared) FROM moments WHERE rollout = ?", rollout)[0] or 0
        if compared > last * _GROWTH:
            self._run("INSERT OR REPLACE INTO moments VALUES (?, ?, ?)", rollout, compared, json.dumps(figures))

    def moments(self, rollout: str) -> list[dict[str, Any]]:
        """How the figures stood, oldest first."""
        rows = self._rows("SELECT compared, body FROM moments WHERE rollout = ? ORDER BY compared", rollout)
        return [{"compared": compared, "figures": json.loads(body)} for compared, body in rows]

    def first_told(self, rollout: str, who: str, minute: int) -> bool:
        """Whether this is somebody's first feedback of the minute."""
        return self._run("INSERT OR IGNORE INTO told VALUES (?, ?, ?)", rollout, who, minute) == 1

    def forget_tellers(self) -> None:
        """Who told something in earlier rollouts; what they told stays in the evidence."""
        self._run("DELETE FROM told")

    def _run(self, statement: str, *values: Any) -> int:
        with self._lock:
            return self._database.execute(statement, values).rowcount

    def _row(self, statement: str, *values: Any) -> Any:
        with self._lock:
            return self._database.execute(statement, values).fetchone()

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()
