"""What a policy is asked and what it answers; whoever answers, no is what it comes to unless it says yes.

It knows questions and decisions; it knows nothing of Rego.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

_HALF = re.compile("[\ud800-\udfff]")
RULE = "open_autoglm/allow"  # the package and rule that every policy has


class Question(NamedTuple):
    """Whether a caller may do something: a tuple, so that asking the same again costs little."""

    action: str
    method: str
    path: str
    tenant: str
    subject: str
    scopes: frozenset[str]
    reached_index: str
    reached_model: str
    owner: str

    @property
    def is_sound(self) -> bool:
        """Whether each text reaches a policy as it is: a zero would cut it short, half a character is none."""
        texts = (*self[:5], *self.scopes, *self[6:])
        return not any("\0" in text or (not text.isascii() and _HALF.search(text)) for text in texts)

    def document(self) -> dict[str, Any]:
        """The ``input`` of the policy."""
        return {
            "action": self.action,
            "method": self.method,
            "path": self.path,
            "caller": {"tenant": self.tenant, "subject": self.subject, "scopes": sorted(self.scopes)},
            "resource": {"index": self.reached_index, "model": self.reached_model, "tenant": self.owner},
        }


@dataclass(frozen=True)
class Decision:
    """Yes or no, and why in few words; ``failed`` tells a policy that could not decide from one that said no."""

    allowed: bool
    why: str
    failed: bool = False


ALLOWED = Decision(True, "the policy allows it")
DENIED = Decision(False, "the policy does not allow it")
UNSOUND = Decision(False, "a name holds a character that no name can have")
UNDEFINED = Decision(False, "the policy has no rule open_autoglm.allow for it")


def failed(why: str) -> Decision:
    """No, because nobody can say."""
    return Decision(False, why, failed=True)


def decided(value: Any) -> Decision:
    """What the value of the rule comes to: yes is true and nothing else."""
    if value is True:
        return ALLOWED
    if value is False:
        return DENIED
    return failed(f"the policy's answer is {type(value).__name__}, neither true nor false")


class Policy(Protocol):
    """Whatever decides."""

    async def allows(self, question: Question) -> Decision:
        """Never raises: what goes wrong is a decision that failed."""

    async def close(self) -> None:
        """Lets go of connections."""
