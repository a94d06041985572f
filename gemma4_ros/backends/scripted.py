# SPDX-License-Identifier: Apache-2.0
"""A LanguageModel that says what a test told it to; nothing of the package falls back to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gemma4_ros.backends.budget import Budget
from gemma4_ros.core.errors import Gemma4Error, ModelError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, never

__all__ = ['ScriptedModel']

Line = str | Gemma4Error | Callable[[GenerateRequest], str]


class ScriptedModel:
    """
    Answers in the order of the script, and remembers what it was asked.

    Parameters
    ----------
    answers : iterable of str, Gemma4Error or callable
        A text, an error to raise, or a function of the request.
    delay_s : float
        How long each answer takes; cancel and deadline work meanwhile.
    model_id : str
        Said in answers.

    """

    def __init__(self, answers: Iterable[Line], *, delay_s: float = 0.0, model_id: str = 'scripted') -> None:
        self._answers = list(answers)
        self._delay_s = delay_s
        self._model_id = model_id
        self.requests: list[GenerateRequest] = []

    @property
    def model_id(self) -> str:
        """Return the name it was given."""
        return self._model_id

    def generate(
        self,
        request: GenerateRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> GenerateAnswer:
        """Give the next answer; a script that is at its end is an error."""
        budget = Budget(request.deadline_s, cancelled)
        self.requests.append(request)
        if not self._answers:
            raise ModelError(f'the script has no answer to request {len(self.requests)}: add one')
        line = self._answers.pop(0)
        while budget.elapsed_s() < self._delay_s:
            budget.check('answering')
            time.sleep(0.005)
        budget.check('answering')
        if isinstance(line, Gemma4Error):
            raise line
        text = line if isinstance(line, str) else line(request)
        if on_text is not None:
            on_text(text)
        words, total_s = len(text.split()), budget.elapsed_s()
        prompt = sum(len(message.text.split()) for message in request.messages)
        return GenerateAnswer(text, self._model_id, 'script', prompt, 0, words, 0, words, total_s, total_s, 'stop')

    def close(self) -> None:
        """Do nothing."""
