# SPDX-License-Identifier: Apache-2.0
"""A GGUF model in this process: warm prefixes, grammar, forced tokens in batches, cancel and deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import llguidance
import numpy as np
from llguidance.llamacpp import lltokenizer_from_vocab

from gemma4_ros.backends.answer import AnswerText
from gemma4_ros.backends.budget import Budget
from gemma4_ros.backends.chat_template import CHATML, ChatTemplate
from gemma4_ros.backends.constraint import Constraint, compile_grammar
from gemma4_ros.backends.gguf_file import check_header
from gemma4_ros.backends.llama_context import LlamaContext
from gemma4_ros.backends.prefix_slots import PrefixSlots
from gemma4_ros.backends.profiles import ModelProfile
from gemma4_ros.core.errors import ModelError, PromptTooLongError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, never

__all__ = ['LlamaCppModel']


class LlamaCppModel:
    """
    One GGUF file behind the LanguageModel port.

    Parameters
    ----------
    profile : ModelProfile
        Entry of config/models.yaml.
    path : str or Path
        The file; its size and header are checked before it is mapped.
    n_threads : int, optional
        Default: every core that this process may use.
    n_ctx : int, optional
        Tokens of prompts and answers kept together; default: the profile's.
    n_ubatch : int
        Tokens evaluated in one go while reading a prompt.
    slots : int
        Prompts whose prefixes are kept warm.

    """

    def __init__(
        self,
        profile: ModelProfile,
        path: str | Path,
        n_threads: int | None = None,
        n_ctx: int | None = None,
        *,
        n_ubatch: int = 64,
        slots: int = 4,
    ) -> None:
        path = Path(path)
        check_header(path, profile)
        self._profile = profile
        self._n_ctx = n_ctx or profile.context_tokens
        threads = n_threads or len(os.sched_getaffinity(0))
        self._context = LlamaContext(path, n_ctx=self._n_ctx, n_threads=threads, n_ubatch=n_ubatch, slots=slots)
        self._slots = PrefixSlots(slots, self._n_ctx)
        self._busy = threading.Lock()
        source = CHATML if profile.template == 'chatml' else self._context.metadata('tokenizer.chat_template')
        self._template = ChatTemplate(
            source or CHATML, self._context, bos=self._context.marker('bos'), eos=self._context.marker('eos')
        )

    @property
    def model_id(self) -> str:
        """Return the id in config/models.yaml."""
        return self._profile.id

    @property
    def context_tokens(self) -> int:
        """Return how many tokens a prompt and its answer may have together."""
        return self._n_ctx

    @property
    def prefix_tokens(self) -> int:
        """Return the length of the longest warm prompt."""
        return self._slots.longest()

    @cached_property
    def tokenizer(self) -> llguidance.LLTokenizer:
        """Return the model's tokenizer as the grammar engine needs it; made once, in about a second."""
        return lltokenizer_from_vocab(self._context.vocab, eos_token=sorted(self._context.end_tokens))

    def generate(
        self,
        request: GenerateRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> GenerateAnswer:
        """Answer one request; a second caller waits for the first, within its own deadline."""
        budget = Budget(request.deadline_s, cancelled)
        while not self._busy.acquire(timeout=0.02):
            budget.check('waiting for another request')
        try:
            return self._generate(request, budget, on_text)
        finally:
            self._busy.release()

    def close(self) -> None:
        """Free the weights; may be called twice."""
        with self._busy:
            self._context.close()

    def _generate(
        self, request: GenerateRequest, budget: Budget, on_text: Callable[[str], None] | None
    ) -> GenerateAnswer:
        if request.images:
            raise ModelError(f'{self.model_id} reads no images: choose a model with vision (gemma4 model list)')
        grammar = compile_grammar(request)
        prompt = self._template.render(request.messages, thinking=request.thinking)
        self._check_length(len(prompt), request.max_tokens)
        run = _Run(self._context, self._slots, budget, request, prompt, on_text)
        run.answer(Constraint(self.tokenizer, grammar) if grammar else None)
        return GenerateAnswer(
            text=run.text.all(),
            model=self.model_id,
            route='in process',
            prompt_tokens=len(prompt),
            cached_tokens=run.cached,
            output_tokens=len(run.output),
            forced_tokens=run.forced,
            passes=run.passes,
            first_token_s=run.first_token_s,
            total_s=budget.elapsed_s(),
            finish=run.finish,
        )

    def _check_length(self, prompt_tokens: int, max_tokens: int) -> None:
        if prompt_tokens + max_tokens > self._n_ctx:
            raise PromptTooLongError(
                f'a prompt of {prompt_tokens} tokens and an answer of {max_tokens} do not fit the context of '
                f'{self._n_ctx}: shorten the prompt, lower max_tokens or raise context_tokens'
            )


class _Run:
    """One answer: reads the prompt, then samples what the grammar leaves open."""

    def __init__(
        self,
        context: LlamaContext,
        slots: PrefixSlots,
        budget: Budget,
        request: GenerateRequest,
        prompt: list[int],
        on_text: Callable[[str], None] | None,
    ) -> None:
        self._context, self._budget, self._request, self._prompt = context, budget, request, prompt
        claim = slots.claim(prompt, len(prompt) + request.max_tokens)
        for slot in claim.evict:
            context.cut(slot, 0)
        if claim.fork_from is not None:
            context.fork(claim.fork_from, claim.slot, claim.kept)
        self._slot, self.cached = claim.slot, claim.kept
        self._held = slots.tokens(claim.slot)
        if not context.cut(claim.slot, claim.kept):  # a memory that cannot be cut: read all of it again
            context.cut(claim.slot, 0)
            self._held.clear()
            self.cached = 0
        self._random = np.random.default_rng(request.seed)
        self.text = AnswerText(request.stop, on_text)
        self.output: list[int] = []
        self.forced = self.passes = 0
        self.first_token_s = 0.0
        self.finish = ''

    def answer(self, constraint: Constraint | None) -> None:
        """Fill in the answer; what is forced goes with the tokens before it, in one evaluation."""
        pending = self._prompt[self.cached :]
        pending += self._force(constraint)
        while not self.finish:
            self._evaluate(pending)
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
        if constraint is None or self.finish:
            return []
        tokens = constraint.forced()
        emitted: list[int] = []
        for token in tokens:
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

    def _evaluate(self, tokens: list[int]) -> None:
        """Evaluate tokens in micro-batches; the cache and its book-keeping stay in step whatever happens."""
        size = self._context.n_ubatch
        for start in range(0, len(tokens), size):
            self._budget.check('reading the prompt' if not self.passes else 'answering')
            chunk = tokens[start : start + size]
            if not self._context.decode(self._slot, len(self._held), chunk, self._budget.is_over):
                self._budget.check('evaluating')
                raise ModelError('the engine stopped evaluating without being asked to')
            if len(self._held) >= len(self._prompt):
                self.passes += 1
            self._held += chunk

    def _sample(self, constraint: Constraint | None) -> int:
        logits = self._context.logits()
        if constraint is None:
            allowed = np.arange(len(logits)) if self._request.temperature > 0 else None
        else:
            allowed = constraint.allowed()
        scores = logits if allowed is None else logits[allowed]
        if self._request.temperature > 0:
            weights = np.exp((scores - scores.max()) / self._request.temperature, dtype=np.float64)
            best = int(self._random.choice(len(scores), p=weights / weights.sum()))
        else:
            best = int(np.argmax(scores))
        return best if allowed is None else int(allowed[best])
