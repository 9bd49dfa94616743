"""A policy in Rego, decided in this process: compiled once, and again when its file changes.

It knows Rego's interpreter; it knows nothing of callers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from regopy import Bundle, Interpreter
from regopy.rego_shared import LogLevel

from ...errors import SettingError
from .policy import RULE, UNDEFINED, UNSOUND, Decision, Question, decided, failed
from .watched import Watched, read_text

SHIPPED = Path(__file__).with_name("policy.rego")
_MOST_REMEMBERED = 4096
_log = logging.getLogger("open_autoglm.access")


class RegoPolicy:
    """A policy's file, whose decisions are good for ``seconds`` and gone when the file changes.

    Raises SettingError for a file that cannot be read or compiled. One that is damaged later leaves the policy that
    was compiled before in force.
    """

    def __init__(self, path: Path = SHIPPED, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._file: Watched[CompiledPolicy] = Watched(path, CompiledPolicy)
        self._seconds, self._clock = seconds, clock
        self._in_force = self._file.get()
        self._remembered: dict[Question, tuple[float, Decision]] = {}

    async def allows(self, question: Question) -> Decision:
        return self.decide(question)

    async def close(self) -> None:
        pass

    def decide(self, question: Question) -> Decision:
        """As ``allows``, without a loop."""
        policy = self._file.get()
        if policy is not self._in_force:
            self._in_force = policy
            self._remembered.clear()
        if not self._seconds:
            return policy.decide(question)
        now = self._clock()
        until, decision = self._remembered.get(question, (now, UNDEFINED))
        if until > now:
            return decision
        decision = policy.decide(question)
        if not decision.failed:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[question] = (now + self._seconds, decision)
        return decision


class CompiledPolicy:
    """A policy compiled to what the interpreter runs. Raises SettingError."""

    def __init__(self, path: Path) -> None:
        self._bundle = _compiled(path)
        self._interpreter = _interpreter()
        self._lock = Lock()  # an interpreter has one input at a time

    def decide(self, question: Question) -> Decision:
        """What the policy says; whatever else it does is a decision that failed."""
        if not question.is_sound:
            return UNSOUND
        try:
            return _outcome(self._evaluated(question.document()))
        except Exception as error:  # the interpreter's errors are of many kinds, and each of them is a no
            _log.exception("The policy could not be evaluated.")
            return failed(f"the policy could not be evaluated ({type(error).__name__})")

    def _evaluated(self, document: dict[str, Any]) -> list[Any] | None:
        """The values of the rule, one or none; None where the interpreter met an error."""
        with self._lock:
            self._interpreter.set_input(document)
            output = self._interpreter.query_bundle_entrypoint(self._bundle, RULE)
            if not output.ok():
                return None
            return [value for result in output.results for value in result.expressions]


def _outcome(values: list[Any] | None) -> Decision:
    if values is None:
        return failed("the policy met an error")
    return decided(values[0]) if values else UNDEFINED


def _compiled(path: Path) -> Bundle:
    interpreter = _interpreter()
    try:
        interpreter.add_module(path.name, read_text(path, "The policy"))
        bundle = interpreter.build(None, [RULE])
    except SettingError:
        raise
    except Exception as error:  # RegoError, and what its binding makes of others
        raise SettingError(f"The policy {path} is no Rego: {_sentence(error)}.") from error
    if not bundle.ok():
        raise SettingError(f"The policy {path} is no Rego that can be compiled.")
    return bundle


def _interpreter() -> Interpreter:
    interpreter = Interpreter()
    interpreter.log_level = LogLevel.NONE
    return interpreter


def _sentence(error: Exception) -> str:
    """The first of the interpreter's messages, from its tree of errors."""
    _, found, rest = str(error).partition("(errormsg ")
    return rest.partition(")")[0].partition(":")[2].strip() if found else type(error).__name__
