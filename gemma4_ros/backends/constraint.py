# SPDX-License-Identifier: Apache-2.0
"""A grammar at work: which tokens may come next, and which must (llguidance)."""

from __future__ import annotations

import json

import llguidance
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.errors import GrammarError
from gemma4_ros.core.ports import GenerateRequest

__all__ = ['Constraint', 'compile_grammar']


def compile_grammar(request: GenerateRequest) -> str:
    """Return the request's grammar in llguidance's form, or '' where it has none."""
    if request.grammar and request.json_schema:
        raise GrammarError('a request may have a grammar or a json_schema, not both')
    if request.grammar:
        return str(llguidance.LLMatcher.grammar_from_lark(request.grammar))
    if not request.json_schema:
        return ''
    try:
        json.loads(request.json_schema)
        return str(llguidance.LLMatcher.grammar_from_json_schema(request.json_schema, {'whitespace_flexible': False}))
    except ValueError as error:
        raise GrammarError(f'json_schema is not JSON: {error}') from error


class Constraint:
    """
    The state of one grammar while an answer grows.

    Parameters
    ----------
    tokenizer : llguidance.LLTokenizer
        Of the model.
    grammar : str
        From compile_grammar.

    """

    def __init__(self, tokenizer: llguidance.LLTokenizer, grammar: str) -> None:
        self._matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
        self._mask = np.zeros((tokenizer.vocab_size + 31) // 32, dtype=np.int32)
        self._raise_error('cannot be compiled')

    def forced(self) -> list[int]:
        """Consume and return the tokens that must come next, however many the grammar leaves no choice for."""
        tokens: list[int] = []
        while not self._matcher.is_stopped():
            run = list(self._matcher.compute_ff_tokens())
            if not run:
                allowed = self.allowed()
                if len(allowed) != 1:
                    break
                run = [int(allowed[0])]
            self._consume(run)
            tokens += run
        return tokens

    def allowed(self) -> NDArray[np.intp]:
        """Return the ids of the tokens that may come next."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._raise_error('failed')
        return np.flatnonzero(np.unpackbits(self._mask.view(np.uint8), bitorder='little'))

    def accept(self, token: int) -> None:
        """Consume the token that was sampled."""
        self._consume([token])

    def is_stopped(self) -> bool:
        """Say whether the answer is complete."""
        return bool(self._matcher.is_stopped())

    def _consume(self, tokens: list[int]) -> None:
        self._matcher.consume_tokens(tokens)
        self._raise_error('failed')

    def _raise_error(self, what: str) -> None:
        if self._matcher.is_error():
            raise GrammarError(f'the grammar {what}: {self._matcher.get_error()[:300]}')
