# SPDX-License-Identifier: Apache-2.0
"""One conversation with one operator: what an utterance means where it is said. No clock, no ROS."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gemma4_ros.core.speech.answers import Answer, classify_answer
from gemma4_ros.core.speech.words import is_stop

__all__ = ['Command', 'Confirm', 'Conversation', 'Misheard', 'Open', 'Pending', 'Refuse', 'Stop']

TURNS_KEPT = 6
# An answer to a question of ours is short; anything longer is a new command.
ANSWER_WORDS = 5


@dataclass(frozen=True, slots=True)
class Pending:
    """A plan that was read back and waits for a yes."""

    approval_id: str
    plan_sha256: str
    plan: bytes
    command: str
    expires_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """A question of ours that waits for an answer."""

    command: str
    question: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop everything."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Yes to what was read back."""

    pending: Pending


@dataclass(frozen=True, slots=True)
class Refuse:
    """No to what was read back."""

    pending: Pending


@dataclass(frozen=True, slots=True)
class Misheard:
    """The recogniser is not sure enough."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command or question for the planner."""

    text: str
    dialogue: tuple[str, ...]


@dataclass(slots=True)
class Conversation:
    """
    What was said, and what waits for an answer.

    Attributes
    ----------
    pending : Pending or None
        A read-back that waits for a yes; any other command withdraws it.
    question : Open or None
        A question that waits for an answer.
    replanned : bool
        The turn's second plan is on its way; there is no third.

    """

    pending: Pending | None = None
    question: Open | None = None
    replanned: bool = False
    turns: deque[str] = field(default_factory=lambda: deque(maxlen=TURNS_KEPT))

    def hear(
        self, text: str, now_s: float, *, confidence: float = 1.0, floor: float = 0.0
    ) -> Stop | Confirm | Refuse | Misheard | Command:
        """
        Say what an utterance means.

        Parameters
        ----------
        text : str
            As typed or recognised.
        now_s : float
            Monotonic time.
        confidence, floor : float
            Of the recogniser, 0 to 1; below the floor nothing but a stop counts.

        """
        if is_stop(text):
            self.pending = self.question = None
            return Stop()
        if confidence < floor:
            return Misheard(text)
        pending, self.pending = self.pending, None
        if pending is not None and now_s <= pending.expires_s:
            answer = classify_answer(text)
            if answer is Answer.CONFIRM:
                return Confirm(pending)
            if answer is Answer.CANCEL:
                return Refuse(pending)
        return self._command(text)

    def _command(self, text: str) -> Command:
        question, self.question = self.question, None
        before = tuple(self.turns)
        if question is not None and len(text.split()) <= ANSWER_WORDS:
            text = f'{question.command}: {text}'
            before = before[:-2]
        self.turns.append(f'operator: {text}')
        return Command(text, before)

    def say(self, text: str) -> None:
        """Remember what we said."""
        self.turns.append(f'robot: {text}')
