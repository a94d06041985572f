# SPDX-License-Identifier: Apache-2.0
"""A GGUF model in this process: warm prefixes, grammar, forced tokens in batches, cancel and deadline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import llama_cpp as lib
import llguidance

from gemma4_ros.backends.budget import Budget
from gemma4_ros.backends.chat_template import CHATML, ChatTemplate
from gemma4_ros.backends.constraint import Constraint, compile_grammar
from gemma4_ros.backends.generation import Generation
from gemma4_ros.backends.llama_context import LlamaContext
from gemma4_ros.backends.model_store import check_file
from gemma4_ros.backends.prefix_slots import common_prefix
from gemma4_ros.backends.prefix_store import PrefixStore
from gemma4_ros.backends.profiles import ModelProfile
from gemma4_ros.backends.warm_prefixes import WarmPrefixes
from gemma4_ros.core.errors import ModelError, PromptTooLongError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, Message, never

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
        Default: the cores that this process may use, less one; two threads on two busy cores are slower than one.
    n_ctx : int, optional
        Tokens of prompts and answers kept together; default: the profile's.
    n_ubatch : int
        Tokens evaluated in one go while reading a prompt.
    slots : int
        Prompts whose prefixes are kept warm.
    prefix_folder : Path, optional
        Where evaluated prompts are kept across restarts; None keeps none.

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
        prefix_folder: Path | None = None,
    ) -> None:
        path = Path(path)
        check_file(path, profile)
        self._profile = profile
        self._n_ctx = n_ctx or profile.context_tokens
        threads = n_threads or max(1, len(os.sched_getaffinity(0)) - 1)
        self._context = LlamaContext(path, n_ctx=self._n_ctx, n_threads=threads, n_ubatch=n_ubatch, slots=slots)
        store = PrefixStore(prefix_folder, _identity(path)) if prefix_folder is not None else None
        self._prefixes = WarmPrefixes(self._context, slots, self._n_ctx, store)
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
        return self._prefixes.longest()

    @property
    def tokenizer(self) -> llguidance.LLTokenizer:
        """Return the model's tokenizer as the grammar engine needs it; made at the first call, in about a second."""
        return self._context.grammar_tokenizer

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
        constraint = Constraint(self.tokenizer, grammar) if grammar else None
        constant = self._constant_tokens(request, prompt)
        place = self._prefixes.take(prompt, constant, len(prompt) + request.max_tokens)
        run = Generation(self._context, place, budget, request, on_text)
        cached = len(place.held)
        took_s = run.read(prompt[:constant])
        if cached < constant / 2:  # a dialogue that grows by a turn is not worth a file
            self._prefixes.save(place, took_s)
        run.read(prompt[:-1])
        run.answer(prompt, constraint)
        return GenerateAnswer(
            text=run.text.all(),
            model=self.model_id,
            route='in process',
            prompt_tokens=len(prompt),
            cached_tokens=cached,
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

    def _constant_tokens(self, request: GenerateRequest, prompt: list[int]) -> int:
        """Return how many tokens stand before the last message: rules and examples, which callers keep constant."""
        *earlier, last = request.messages
        if not earlier or earlier[0].role != 'system':
            return 0
        other = self._template.render((*earlier, Message(last.role, '\x00')), thinking=request.thinking)
        return common_prefix(other, prompt[:-1])


def _identity(path: Path) -> str:
    stat = path.stat()
    return f'{path.name} {stat.st_size} {stat.st_mtime_ns} {lib.__version__} unified swa_full f16'
