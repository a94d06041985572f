# SPDX-License-Identifier: Apache-2.0
"""What the core asks of the outside: Protocols and the frozen values that cross them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ['GenerateAnswer', 'GenerateRequest', 'LanguageModel', 'Message', 'never']


def never() -> bool:
    """Say that nobody cancels."""
    return False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: ``role`` is ``system``, ``user`` or ``assistant``; ``text`` is data, never markup."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """
    One question to a model.

    Attributes
    ----------
    messages : tuple of Message
        The conversation, oldest first. A system message may only come first.
    grammar, json_schema : str
        What the answer must satisfy: an llguidance Lark grammar, or a JSON Schema as text. At most one of the two.
    max_tokens : int
        Of the answer, forced tokens included.
    temperature : float
        0 is greedy.
    deadline_s : float
        From the call; the answer is an error after it.
    images : tuple of bytes
        JPEG or PNG, shown before the last user message's text.
    visual_budget_tokens : int
        Tokens an image: 70, 140, 280, 560 or 1120; 0 takes the profile's.
    thinking : bool
        Whether the model may think before it answers; off unless asked for.
    stop : tuple of str
        Texts at which the answer ends; they are not part of it.
    seed : int
        Of the sampler, where the temperature is above 0.

    """

    messages: tuple[Message, ...]
    grammar: str = ''
    json_schema: str = ''
    max_tokens: int = 512
    temperature: float = 0.0
    deadline_s: float = 60.0
    images: tuple[bytes, ...] = ()
    visual_budget_tokens: int = 0
    thinking: bool = False
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GenerateAnswer:
    """
    What a model answered and what it took.

    Attributes
    ----------
    route : str
        Which engine answered and why.
    cached_tokens : int
        Of the prompt, taken from a warm prefix.
    forced_tokens : int
        Of the answer, appended because the grammar left one choice.
    passes : int
        Evaluations of the model for the answer; those of the prompt are not counted.
    first_token_s, total_s : float
        From the call; the first token that the model itself chose.
    finish : str
        ``stop`` or ``length``.

    """

    text: str
    model: str
    route: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    forced_tokens: int
    passes: int
    first_token_s: float
    total_s: float
    finish: str


class LanguageModel(Protocol):
    """A model that answers one request at a time; errors are the 2xx of core/errors.py."""

    @property
    def model_id(self) -> str:
        """Return the id in config/models.yaml."""
        ...

    def generate(
        self,
        request: GenerateRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> GenerateAnswer:
        """Answer; ``cancelled`` is asked often and from this thread, ``on_text`` gets new text as it comes."""
        ...

    def close(self) -> None:
        """Free what it holds; may be called twice."""
        ...
