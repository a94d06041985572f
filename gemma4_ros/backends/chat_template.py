# SPDX-License-Identifier: Apache-2.0
"""A conversation as tokens: the template's markers are special, what people wrote never is."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NoReturn, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gemma4_ros.core.errors import ModelError, ModelFileError
from gemma4_ros.core.ports import Message

__all__ = ['CHATML', 'ChatTemplate', 'Vocabulary']

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_ROLES = ('system', 'user', 'assistant')


class Vocabulary(Protocol):
    """What a template needs of a tokenizer."""

    def special_tokens(self) -> Mapping[str, int]:
        """Return the text of every marker token and its id."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Tokenise plain text; control tokens in it are text."""
        ...


class ChatTemplate:
    """
    Renders messages through a Jinja chat template without ever letting their text become markup.

    Each message's text stands in the template as a random placeholder; the rendered string is split at the
    placeholders and at the vocabulary's markers, so that a marker counts only where the template wrote it. Plain text
    between two markers is tokenised in one go, as the model saw it in training.

    Parameters
    ----------
    source : str
        The Jinja text; runs in a sandbox.
    vocabulary : Vocabulary
        Of the same model.

    """

    def __init__(self, source: str, vocabulary: Vocabulary, bos: str = '', eos: str = '') -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals.update(raise_exception=_raise, strftime_now=_strftime_now)
        self._variables: dict[str, Any] = {'bos_token': bos, 'eos_token': eos, 'tools': None}
        self._vocabulary = vocabulary
        self._special = dict(vocabulary.special_tokens())
        markers = sorted(self._special, key=len, reverse=True)
        self._markers = re.compile('(' + '|'.join(map(re.escape, markers)) + ')') if markers else None
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelFileError(f'the chat template of the model file does not compile: {error}') from error

    def render(self, messages: Sequence[Message], *, thinking: bool = False) -> list[int]:
        """Return the prompt's tokens, ending where the model has to go on."""
        salt = secrets.token_hex(8)
        texts = {f'\ue000{salt}{index}\ue001': message.text for index, message in enumerate(messages)}
        turns = [{'role': _role(m), 'content': key} for m, key in zip(messages, texts, strict=True)]
        try:
            rendered = self._template.render(
                messages=turns, add_generation_prompt=True, enable_thinking=thinking, **self._variables
            )
        except jinja2.TemplateError as error:
            raise ModelError(f"the model's chat template refuses the messages: {error}") from error
        missing = [index for index, key in enumerate(texts) if key not in rendered]
        if missing:
            raise ModelError(f"the model's chat template leaves message {missing[0]} out: reorder or merge messages")
        return self._tokens(rendered, texts, re.compile(f'(\ue000{salt}\\d+\ue001)'))

    def _tokens(self, rendered: str, texts: Mapping[str, str], placeholder: re.Pattern[str]) -> list[int]:
        tokens: list[int] = []
        plain = ''
        for piece in placeholder.split(rendered):
            if piece in texts:
                plain += texts[piece]
                continue
            for part in self._markers.split(piece) if self._markers else [piece]:
                if part in self._special:
                    tokens += [*self._plain(plain), self._special[part]]
                    plain = ''
                else:
                    plain += part
        return tokens + self._plain(plain)

    def _plain(self, text: str) -> list[int]:
        """Tokenise text so that no marker comes out, whatever it says: markers in it are broken after one character."""
        if not text:
            return []
        if self._markers is None or not self._markers.search(text):
            return self._vocabulary.tokenize(text)
        tokens: list[int] = []
        for piece in _broken(self._markers, text):
            tokens += self._vocabulary.tokenize(piece)
        return tokens


def _broken(markers: re.Pattern[str], text: str) -> list[str]:
    """Cut text inside every marker that it spells, until no piece holds one."""
    pieces: list[str] = []
    while found := markers.search(text):
        cut = found.start() + 1
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text] if text else pieces


def _role(message: Message) -> str:
    if message.role not in _ROLES:
        raise ModelError(f'message role {message.role!r} is unknown: use one of {", ".join(_ROLES)}')
    return message.role


def _raise(text: str) -> NoReturn:
    raise jinja2.TemplateError(text)


def _strftime_now(form: str) -> str:
    return datetime.now(timezone.utc).strftime(form)
