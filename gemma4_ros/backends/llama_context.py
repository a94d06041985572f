# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's C interface as one small class: load, tokenise, evaluate, keep and cut sequences."""

from __future__ import annotations

import collections
import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

# Waiting threads must sleep: spinning ones cost a factor of ten where another process wants the core. Read at loading.
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')

import llama_cpp as lib
import llguidance
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.errors import ModelError, ModelFileError

__all__ = ['LlamaContext']

_PIECE_BYTES = 1024
_LOG: collections.deque[str] = collections.deque(maxlen=50)


@lib.llama_log_callback  # type: ignore[untyped-decorator, unused-ignore]
def _collect_log(level: int, text: bytes, _user: Any) -> None:
    """Keep warnings and errors for our own messages; the library prints every line to stderr otherwise."""
    if level in (2, 3):
        _LOG.append(text.decode('utf-8', 'replace').strip())


class LlamaContext:
    """
    Weights and KV cache of one GGUF file.

    The cache is unified over ``slots`` sequences and full-sized for sliding-window layers (``swa_full``): cutting a
    sequence back to a shared prefix is exact only then.

    Parameters
    ----------
    path : Path
        The GGUF file; memory-mapped.
    n_ctx : int
        Tokens of the cache, over all sequences.
    n_threads : int
        For single tokens and for batches alike.
    n_ubatch : int
        Tokens evaluated in one go; cancellation is looked at in between, and within through the abort callback.
    slots : int
        Sequences that can be kept.

    """

    def __init__(self, path: Path, *, n_ctx: int, n_threads: int, n_ubatch: int, slots: int) -> None:
        lib.llama_log_set(_collect_log, ctypes.c_void_p(0))
        lib.llama_backend_init()
        _LOG.clear()
        self._model: Any = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if not self._model:
            reason = next((line for line in reversed(_LOG) if 'error' in line), 'no reason given')
            raise ModelFileError(f'{path.name} cannot be loaded: {reason[:300]}')
        self.vocab: Any = lib.llama_model_get_vocab(self._model)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self.vocab))
        self.n_ubatch = n_ubatch
        self._abort: Callable[[], bool] | None = None
        self._c_abort = lib.llama_cpp.ggml_abort_callback(self._ask_abort)
        self._context: Any = lib.llama_init_from_model(self._model, self._params(n_ctx, n_threads, slots))
        if not self._context:
            self.close()
            raise ModelError(f'no memory for a context of {n_ctx} tokens: lower context_tokens')
        self._memory: Any = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(n_ubatch, 0, 1)

    def _params(self, n_ctx: int, n_threads: int, slots: int) -> Any:
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = n_ctx, self.n_ubatch, self.n_ubatch, slots
        params.n_threads = params.n_threads_batch = n_threads
        params.swa_full = params.kv_unified = params.no_perf = True
        params.abort_callback = self._c_abort
        return params

    def _ask_abort(self, _data: Any) -> bool:
        return self._abort is not None and self._abort()

    # Vocabulary ------------------------------------------------------------------------------------------------------
    def metadata(self, key: str) -> str:
        """Return a text of the file's metadata, '' where it has none."""
        size = 1 << 18
        buffer = ctypes.create_string_buffer(size)
        n = lib.llama_model_meta_val_str(self._model, key.encode(), buffer, size)
        return buffer.value.decode('utf-8', 'replace') if n >= 0 else ''

    @property
    def trained_context(self) -> int:
        """Return the context that the model was made for."""
        return int(lib.llama_model_n_ctx_train(self._model))

    def special_tokens(self) -> dict[str, int]:
        """Return the text of every marker token and its id."""
        return self._special

    @cached_property
    def _special(self) -> dict[str, int]:
        control, user = lib.LLAMA_TOKEN_ATTR_CONTROL, lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        found: dict[str, int] = {}
        for token in range(self.n_vocab):
            attr = lib.llama_vocab_get_attr(self.vocab, token)
            if attr & (control | user):
                text = self._vocabulary_text(token)
                if text and (attr & control or (text.startswith('<') and text.endswith('>'))):
                    found[text] = token
        return found

    def _vocabulary_text(self, token: int) -> str:
        return (lib.llama_vocab_get_text(self.vocab, token) or b'').decode('utf-8', 'replace')

    @cached_property
    def grammar_tokenizer(self) -> llguidance.LLTokenizer:
        """Return the tokenizer as llguidance needs it; markers begin with 0xff there, so that text never spells one."""
        markers = set(self._special.values())
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        pieces: list[bytes] = []
        for token in range(self.n_vocab):
            n = lib.llama_token_to_piece(self.vocab, token, buffer, _PIECE_BYTES, 0, True)
            piece = buffer.raw[: max(n, 0)]
            pieces.append(b'\xff' + piece if token in markers else piece)
        tokenize = ctypes.cast(lib.llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value
        ends = sorted(self.end_tokens)
        make: Any = llguidance.LLTokenizer  # from_llamacpp is missing in its type stubs
        made: llguidance.LLTokenizer = make.from_llamacpp(
            tokens=pieces, vocab_ptr=self.vocab, tokenize_fptr=tokenize, eos_token=ends, slices=None
        )
        return made

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Return the tokens that end an answer."""
        markers = {*self._special.values(), lib.llama_vocab_eos(self.vocab), lib.llama_vocab_eot(self.vocab)}
        return frozenset(t for t in markers if t >= 0 and lib.llama_vocab_is_eog(self.vocab, t))

    def marker(self, which: str) -> str:
        """Return the text of the ``bos`` or ``eos`` token."""
        token = getattr(lib, f'llama_vocab_{which}')(self.vocab)
        return self._vocabulary_text(token) if token >= 0 else ''

    def tokenize(self, text: str) -> list[int]:
        """Tokenise plain text; control tokens in it are text, and none is added."""
        data = text.encode('utf-8', 'surrogatepass')
        room = len(data) + 8
        tokens = (lib.llama_token * room)()
        n = lib.llama_tokenize(self.vocab, data, len(data), tokens, room, False, False)
        if n < 0:
            raise ModelError(f'cannot tokenise a text of {len(data)} bytes')
        return list(tokens[:n])

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; nothing for markers."""
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        n = lib.llama_token_to_piece(self.vocab, token, buffer, _PIECE_BYTES, 0, False)
        return buffer.raw[: max(n, 0)]

    # Evaluation ------------------------------------------------------------------------------------------------------
    def decode(self, slot: int, start: int, tokens: Sequence[int], abort: Callable[[], bool]) -> bool:
        """
        Evaluate at most ``n_ubatch`` tokens of a sequence from position ``start``; the last one gets logits.

        Returns
        -------
        bool
            False if ``abort`` said so; the sequence then ends at ``start`` as before.

        """
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, start + i, i == len(tokens) - 1
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, slot
        self._abort = abort
        try:
            code = lib.llama_decode(self._context, batch)
        finally:
            self._abort = None
        if code == 0:
            return True
        self.cut(slot, start)
        if code == 2:
            return False
        raise ModelError(
            f'llama_decode failed with code {code} at position {start}; {"; ".join(list(_LOG)[-1:])[:200]}'
        )

    def logits(self) -> NDArray[np.float32]:
        """Return the logits of the last token evaluated: a view, valid until the next evaluation."""
        pointer = lib.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    def cut(self, slot: int, length: int) -> bool:
        """Shorten a sequence to its first ``length`` tokens; False if this memory cannot."""
        return bool(lib.llama_memory_seq_rm(self._memory, slot, length, -1))

    def fork(self, source: int, target: int, length: int) -> None:
        """Let ``target`` share the first ``length`` tokens of ``source``, without copying."""
        lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def save(self, slot: int, path: Path, tokens: Sequence[int]) -> bool:
        """Write a sequence, which holds just these tokens, to a file; False if that failed."""
        array = (lib.llama_token * len(tokens))(*tokens)
        return bool(lib.llama_state_seq_save_file(self._context, str(path).encode(), slot, array, len(tokens)))

    def load(self, slot: int, path: Path, tokens: Sequence[int]) -> bool:
        """Read a sequence of just these tokens from a file; False if it is damaged or another one."""
        array = (lib.llama_token * len(tokens))()
        count = ctypes.c_size_t(0)
        name = str(path).encode()
        read = lib.llama_state_seq_load_file(self._context, name, slot, array, len(tokens), ctypes.byref(count))
        return bool(read) and list(array[: count.value]) == list(tokens)

    def close(self) -> None:
        """Free context and weights; may be called twice."""
        if getattr(self, '_batch', None) is not None:
            lib.llama_batch_free(self._batch)
            self._batch = None
        if getattr(self, '_context', None):
            lib.llama_free(self._context)
            self._context = None
        if self._model:
            lib.llama_model_free(self._model)
            self._model = None
