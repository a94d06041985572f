# SPDX-License-Identifier: Apache-2.0
"""The OpenAI chat protocol as values: our requests and answers to and from JSON, per dialect of the server."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Literal

import msgspec

from gemma4_ros.core.errors import (
    EngineDiedError,
    Gemma4Error,
    GrammarError,
    ModelCancelledError,
    ModelDeadlineError,
    ModelError,
    ModelFileError,
    ModelMissingError,
    PromptTooLongError,
)
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, Message

__all__ = [
    'MAX_BODY_BYTES',
    'Dialect',
    'answer_json',
    'chunk_json',
    'encode',
    'error_from',
    'error_json',
    'parse',
    'status_of',
]

Dialect = Literal['engine', 'vllm', 'llama_server']
MAX_BODY_BYTES = 64 << 20
_ERRORS: dict[int, type[ModelError]] = {
    error.code: error
    for error in (
        ModelError,
        ModelMissingError,
        ModelFileError,
        ModelDeadlineError,
        ModelCancelledError,
        EngineDiedError,
        PromptTooLongError,
        GrammarError,
    )
}
_STATUS = {
    ModelDeadlineError.code: 504,
    ModelCancelledError.code: 499,
    PromptTooLongError.code: 400,
    GrammarError.code: 400,
}


class _Url(msgspec.Struct):
    url: str


class _Part(msgspec.Struct):
    type: Literal['text', 'image_url']
    text: str = ''
    image_url: _Url | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part]


class _Schema(msgspec.Struct):
    schema: dict[str, Any]
    name: str = 'answer'


class _Format(msgspec.Struct):
    type: Literal['text', 'json_schema']
    json_schema: _Schema | None = None


class _TemplateArguments(msgspec.Struct):
    enable_thinking: bool = False


class _Extension(msgspec.Struct, forbid_unknown_fields=True):
    """What the protocol has no field for; only our own engine reads it."""

    grammar: str = ''
    json_schema: str = ''
    deadline_s: float = 60.0
    visual_budget_tokens: int = 0


class _Body(msgspec.Struct):
    messages: list[_Message]
    model: str = ''
    max_tokens: int = 512
    max_completion_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    response_format: _Format | None = None
    chat_template_kwargs: _TemplateArguments = msgspec.field(default_factory=_TemplateArguments)
    gemma4: _Extension = msgspec.field(default_factory=_Extension)


def parse(body: bytes) -> tuple[GenerateRequest, bool]:
    """Return the request of a body and whether its answer is to be streamed; raise ModelError that names the field."""
    try:
        wire = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError as error:
        raise ModelError(f'the request is not understood: {error}') from error
    texts, images = zip(*(_split(message) for message in wire.messages), strict=True) if wire.messages else ((), ())
    schema = wire.gemma4.json_schema
    if wire.response_format is not None and wire.response_format.json_schema is not None:
        schema = json.dumps(wire.response_format.json_schema.schema)
    stop = (wire.stop,) if isinstance(wire.stop, str) else tuple(wire.stop or ())
    request = GenerateRequest(
        messages=tuple(texts),
        grammar=wire.gemma4.grammar,
        json_schema=schema,
        max_tokens=wire.max_completion_tokens or wire.max_tokens,
        temperature=wire.temperature,
        deadline_s=wire.gemma4.deadline_s,
        images=tuple(image for some in images for image in some),
        visual_budget_tokens=wire.gemma4.visual_budget_tokens,
        thinking=wire.chat_template_kwargs.enable_thinking,
        stop=stop,
        seed=wire.seed or 0,
    )
    return request, wire.stream


def _split(message: _Message) -> tuple[Message, list[bytes]]:
    if isinstance(message.content, str):
        return Message(message.role, message.content), []
    text = ''.join(part.text for part in message.content)
    urls = [part.image_url.url for part in message.content if part.image_url is not None]
    return Message(message.role, text), [_inline(url) for url in urls]


def _inline(url: str) -> bytes:
    head, _, data = url.partition(';base64,')
    if not head.startswith('data:image/'):
        raise ModelError('images must be inline (data:image/…;base64,…): nothing is fetched from an address')
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ModelError(f'an image is not base64: {error}') from error


def encode(request: GenerateRequest, model: str, dialect: Dialect) -> bytes:
    """Return the body of a streamed request as the server of a dialect wants it."""
    body: dict[str, Any] = {
        'model': model,
        'messages': _messages(request),
        'max_tokens': request.max_tokens,
        'temperature': request.temperature,
        'seed': request.seed,
        'stream': True,
        'stream_options': {'include_usage': True},
        'chat_template_kwargs': {'enable_thinking': request.thinking},
    }
    if request.stop:
        body['stop'] = list(request.stop)
    if dialect == 'engine':
        body['gemma4'] = {
            'grammar': request.grammar,
            'json_schema': request.json_schema,
            'deadline_s': request.deadline_s,
            'visual_budget_tokens': request.visual_budget_tokens,
        }
    else:
        body |= _structured(request, dialect)
    return msgspec.json.encode(body)


def _structured(request: GenerateRequest, dialect: Dialect) -> dict[str, Any]:
    if request.grammar and dialect == 'llama_server':
        raise GrammarError('llama-server reads GBNF, not Lark: send a json_schema, or use another server')
    if request.grammar:
        return {'structured_outputs': {'grammar': request.grammar}}
    if request.json_schema:
        try:
            schema = json.loads(request.json_schema)
        except ValueError as error:
            raise GrammarError(f'json_schema is not JSON: {error}') from error
        return {'response_format': {'type': 'json_schema', 'json_schema': {'name': 'answer', 'schema': schema}}}
    return {}


def _messages(request: GenerateRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{'role': m.role, 'content': m.text} for m in request.messages]
    if request.images:
        last = max((i for i, m in enumerate(messages) if m['role'] == 'user'), default=None)
        if last is None:
            raise ModelError('images need a user message to stand in')
        parts = [{'type': 'image_url', 'image_url': {'url': _data_url(image)}} for image in request.images]
        messages[last]['content'] = [*parts, {'type': 'text', 'text': messages[last]['content']}]
    return messages


def _data_url(image: bytes) -> str:
    kind = 'png' if image.startswith(b'\x89PNG') else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(image).decode()}'


def chunk_json(text: str, model: str) -> dict[str, Any]:
    """Return one streamed piece of an answer."""
    return {
        'object': 'chat.completion.chunk',
        'model': model,
        'choices': [{'index': 0, 'delta': {'content': text}, 'finish_reason': None}],
    }


def answer_json(answer: GenerateAnswer, *, streamed: bool) -> dict[str, Any]:
    """Return an answer, or the last piece of a streamed one, with its figures."""
    content = {'delta': {}} if streamed else {'message': {'role': 'assistant', 'content': answer.text}}
    return {
        'object': 'chat.completion.chunk' if streamed else 'chat.completion',
        'model': answer.model,
        'choices': [{'index': 0, **content, 'finish_reason': answer.finish}],
        'usage': {
            'prompt_tokens': answer.prompt_tokens,
            'completion_tokens': answer.output_tokens,
            'total_tokens': answer.prompt_tokens + answer.output_tokens,
            'prompt_tokens_details': {'cached_tokens': answer.cached_tokens},
        },
        'gemma4': {
            'forced_tokens': answer.forced_tokens,
            'passes': answer.passes,
            'first_token_s': answer.first_token_s,
            'total_s': answer.total_s,
        },
    }


def error_json(error: Gemma4Error) -> dict[str, Any]:
    """Return an error as the protocol writes it."""
    return {'error': {'message': str(error), 'type': type(error).__name__, 'code': error.code}}


def status_of(error: Gemma4Error) -> int:
    """Return the HTTP status of an error."""
    return _STATUS.get(error.code, 500)


def error_from(body: dict[str, Any], status: int) -> ModelError:
    """Return the error that a server reported; one of our own keeps its class."""
    told = body.get('error')
    if not isinstance(told, dict):
        return ModelError(f'the model server answered with status {status}: {str(body)[:200]}')
    code = told.get('code')
    cls = _ERRORS.get(code, ModelError) if isinstance(code, int) else ModelError
    return cls(str(told.get('message', 'no reason given'))[:400])
