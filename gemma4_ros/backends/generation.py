# SPDX-License-Identifier: Apache-2.0
"""One answer: reads the prompt, then samples what the grammar leaves open; forced tokens ride along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gemma4_ros.backends.answer import AnswerText
from gemma4_ros.backends.budget import Budget
from gemma4_ros.backends.constraint import Constraint
from gemma4_ros.backends.llama_context import LlamaContext
from gemma4_ros.backends.warm_prefixes import Place
from gemma4_ros.core.errors import ModelError
from gemma4_ros.core.ports import GenerateRequest

__all__ = ['Generation']


class Generation:
    """
    The loop from prompt to answer in one sequence of the cache.

    Attributes
    ----------
    output : list of int
        Tokens of the answer, forced ones included.
    forced, passes : int
        How many of them the grammar left no choice for; evaluations after the prompt was read.
    finish : str
        ``stop`` or ``length``.

    """

    def __init__(
        self,
        context: LlamaContext,
        place: Place,
        budget: Budget,
        request: GenerateRequest,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self._context, self._place, self._budget, self._request = context, place, budget, request
        self._random = np.random.default_rng(request.seed)
        self.text = AnswerText(request.stop, on_text)
        self.output: list[int] = []
        self.forced = self.passes = 0
        self.first_token_s = 0.0
        self.finish = ''

    def read(self, prompt: list[int]) -> float:
        """Evaluate the part of a prompt that the sequence does not hold yet; return the seconds that took."""
        started_s = self._budget.elapsed_s()
        self._evaluate(prompt[len(self._place.held) :], 'reading the prompt')
        return self._budget.elapsed_s() - started_s

    def answer(self, prompt: list[int], constraint: Constraint | None) -> None:
        """Fill in the answer; what is forced goes with the tokens before it, in one evaluation."""
        pending = prompt[len(self._place.held) :] + self._force(constraint)
        while not self.finish:
            self.passes += self._evaluate(pending, 'answering')
            token = self._sample(constraint)
            self.first_token_s = self.first_token_s or self._budget.elapsed_s()
            if token in self._context.end_tokens:
                self.finish = 'stop'
                break
            if constraint is not None:
                constraint.accept(token)
            self._emit(token)
            pending = [token, *self._force(constraint)]
        self.first_token_s = self.first_token_s or self._budget.elapsed_s()
        self.text.finish()

    def _force(self, constraint: Constraint | None) -> list[int]:
        """Emit and return what the grammar leaves no choice for."""
        if constraint is None or self.finish:
            return []
        emitted: list[int] = []
        for token in constraint.forced():
            if token in self._context.end_tokens:
                self.finish = 'stop'
            if self.finish:
                break
            emitted.append(token)
            self.forced += 1
            self._emit(token)
        if constraint.is_stopped():
            self.finish = 'stop'
        return emitted

    def _emit(self, token: int) -> None:
        self.output.append(token)
        if self.text.add(self._context.piece(token)):
            self.finish = 'stop'
        elif len(self.output) >= self._request.max_tokens:
            self.finish = 'length'

    def _evaluate(self, tokens: list[int], doing: str) -> int:
        """Evaluate tokens in micro-batches and return their number; cache and book stay in step whatever happens."""
        size = self._context.n_ubatch
        starts = range(0, len(tokens), size)
        held = self._place.held
        for start in starts:
            self._budget.check(doing)
            chunk = tokens[start : start + size]
            if not self._context.decode(self._place.slot, len(held), chunk, self._budget.is_over):
                self._budget.check(doing)
                raise ModelError('the engine stopped evaluating without being asked to')
            held += chunk
        return len(starts)

    def _sample(self, constraint: Constraint | None) -> int:
        logits = self._context.logits()
        allowed = None if constraint is None else constraint.allowed()
        scores = logits if allowed is None else logits[allowed]
        if self._request.temperature > 0:
            weights = np.exp((scores - scores.max()) / self._request.temperature, dtype=np.float64)
            best = int(self._random.choice(len(scores), p=weights / weights.sum()))
        else:
            best = int(np.argmax(scores))
        return best if allowed is None else int(allowed[best])
