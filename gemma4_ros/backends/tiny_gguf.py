# SPDX-License-Identifier: Apache-2.0
"""A GGUF file of under 1 MB with random weights: real architecture, tokenizer and engine, for tests and self-tests.

It proves plumbing, shapes, grammars and caches, never the quality of an answer.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ['TINY_CONTEXT_TOKENS', 'write_tiny_gguf']

TINY_CONTEXT_TOKENS = 4096
_EMBEDDING, _HEADS, _KV_HEADS, _FEED_FORWARD, _LAYERS, _WINDOW = 64, 4, 2, 128, 3, 16
_U32, _F32, _BOOL, _STRING, _ARRAY, _I32 = 4, 6, 7, 8, 9, 5
_FORMATS = {_U32: '<I', _I32: '<i', _F32: '<f', _BOOL: '<?'}
_NORMAL, _CONTROL = 1, 3
_ALIGNMENT = 32
_MARKERS = {
    'qwen2': ['<|endoftext|>', '<|im_start|>', '<|im_end|>'],
    'gemma4': ['<eos>', '<bos>', '<|turn>', '<turn|>', '<|think|>', '<|channel>', '<channel|>'],
}
_TEMPLATES = {
    'qwen2': "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}",
    'gemma4': "{{ bos_token }}{% if enable_thinking %}{{ '<|turn>system\\n<|think|>\\n<turn|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|turn>' + m.role + '\\n' + (m.content | trim) + '<turn|>\\n' }}{% endfor %}"
    "{{ '<|turn>model\\n' }}",
}
_MERGES = ['t h', 'th e', 'Ġ the', 'p l', 'pl a', 'c e', 'pla ce', '" :', '" ,', '{ "', '" }']


def write_tiny_gguf(path: Path, architecture: Literal['qwen2', 'gemma4'] = 'qwen2', seed: int = 0) -> Path:
    """
    Write the file and return its path.

    Parameters
    ----------
    architecture : {'qwen2', 'gemma4'}
        ``gemma4`` has two layers with a sliding window of 16 tokens and one with full attention.
    seed : int
        Of the random weights; the same seed gives the same file.

    """
    tokens = _MARKERS[architecture] + _byte_symbols() + [merge.replace(' ', '') for merge in _MERGES]
    metadata = _metadata(architecture, tokens)
    tensors = _tensors(architecture, len(tokens), np.random.default_rng(seed))
    head = b'GGUF' + struct.pack('<IQQ', 3, len(tensors), len(metadata))
    head += b''.join(_text(key) + struct.pack('<I', kind) + _value(kind, value) for key, kind, value in metadata)
    blobs: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += _text(name) + struct.pack('<I', len(shape)) + struct.pack(f'<{len(shape)}Q', *shape)
        head += struct.pack('<IQ', 0, offset)
        blobs.append(_padded(tensor.astype('<f4').tobytes()))
        offset += len(blobs[-1])
    path.write_bytes(_padded(head) + b''.join(blobs))
    return path


def _byte_symbols() -> list[str]:
    """Return the 256 characters that byte-level BPE writes bytes with."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    symbols = {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return [symbols[byte] for byte in range(256)]


def _metadata(architecture: str, tokens: list[str]) -> list[tuple[str, int, Any]]:
    markers = _MARKERS[architecture]
    head = _EMBEDDING // _HEADS
    numbers = {
        'context_length': TINY_CONTEXT_TOKENS,
        'embedding_length': _EMBEDDING,
        'block_count': _LAYERS,
        'feed_forward_length': _FEED_FORWARD,
        'attention.head_count': _HEADS,
        'attention.head_count_kv': _KV_HEADS,
    }
    entries: list[tuple[str, int, Any]] = [('general.architecture', _STRING, architecture)]
    if architecture == 'gemma4':
        numbers |= {
            'attention.sliding_window': _WINDOW,
            'attention.key_length': 2 * head,
            'attention.value_length': 2 * head,
            'attention.key_length_swa': head,
            'attention.value_length_swa': head,
            'embedding_length_per_layer_input': 0,
            'rope.dimension_count': 2 * head,
            'rope.dimension_count_swa': head,
        }
        pattern = [_is_sliding(layer) for layer in range(_LAYERS)]
        entries.append((f'{architecture}.attention.sliding_window_pattern', _ARRAY, (_BOOL, pattern)))
    entries += [(f'{architecture}.{key}', _U32, value) for key, value in numbers.items()]
    entries += [
        (f'{architecture}.attention.layer_norm_rms_epsilon', _F32, 1e-6),
        (f'{architecture}.rope.freq_base', _F32, 10000.0),
        ('tokenizer.ggml.model', _STRING, 'gpt2'),
        ('tokenizer.ggml.pre', _STRING, 'qwen2'),
        ('tokenizer.ggml.tokens', _ARRAY, (_STRING, tokens)),
        ('tokenizer.ggml.token_type', _ARRAY, (_I32, [_CONTROL if token in markers else _NORMAL for token in tokens])),
        ('tokenizer.ggml.merges', _ARRAY, (_STRING, _MERGES)),
        ('tokenizer.ggml.bos_token_id', _U32, 1 if architecture == 'gemma4' else 0),
        ('tokenizer.ggml.eos_token_id', _U32, markers.index('<turn|>' if architecture == 'gemma4' else '<|im_end|>')),
        ('tokenizer.ggml.add_bos_token', _BOOL, False),
        ('tokenizer.chat_template', _STRING, _TEMPLATES[architecture]),
    ]
    return entries


def _is_sliding(layer: int) -> bool:
    return layer != _LAYERS - 1


def _tensors(architecture: str, vocab: int, random: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    def matrix(rows: int, columns: int, scale: float = 0.2) -> NDArray[np.float32]:
        return random.normal(0.0, scale, (rows, columns)).astype(np.float32)

    def ones(size: int) -> NDArray[np.float32]:
        return np.ones(size, dtype=np.float32)

    found = {'token_embd.weight': matrix(vocab, _EMBEDDING, 0.5), 'output_norm.weight': ones(_EMBEDDING)}
    for layer in range(_LAYERS):
        block = f'blk.{layer}.'
        head = _EMBEDDING // _HEADS
        if architecture == 'gemma4' and not _is_sliding(layer):
            head *= 2
            found['rope_freqs.weight'] = ones(head // 2)
        queries, keys = head * _HEADS, head * _KV_HEADS
        found |= {
            block + 'attn_norm.weight': ones(_EMBEDDING),
            block + 'attn_q.weight': matrix(queries, _EMBEDDING),
            block + 'attn_k.weight': matrix(keys, _EMBEDDING),
            block + 'attn_v.weight': matrix(keys, _EMBEDDING),
            block + 'attn_output.weight': matrix(_EMBEDDING, queries),
            block + 'ffn_norm.weight': ones(_EMBEDDING),
            block + 'ffn_gate.weight': matrix(_FEED_FORWARD, _EMBEDDING),
            block + 'ffn_up.weight': matrix(_FEED_FORWARD, _EMBEDDING),
            block + 'ffn_down.weight': matrix(_EMBEDDING, _FEED_FORWARD),
        }
        if architecture == 'gemma4':
            found |= {block + f'{name}.weight': ones(head) for name in ('attn_q_norm', 'attn_k_norm')}
            found |= {block + f'{name}.weight': ones(_EMBEDDING) for name in ('post_attention_norm', 'post_ffw_norm')}
    return found


def _text(text: str) -> bytes:
    data = text.encode('utf-8')
    return struct.pack('<Q', len(data)) + data


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        element, items = value
        return struct.pack('<IQ', element, len(items)) + b''.join(_value(element, item) for item in items)
    return struct.pack(_FORMATS[kind], value)


def _padded(data: bytes) -> bytes:
    return data + b'\0' * (-len(data) % _ALIGNMENT)
