# SPDX-License-Identifier: Apache-2.0
"""A model behind an OpenAI-style server: our engine's child on a Unix socket, or vLLM and llama-server over TCP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from gemma4_ros.backends import openai_wire as wire
from gemma4_ros.backends.budget import Budget
from gemma4_ros.core.errors import EngineDiedError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, never

__all__ = ['OpenAIModel']

_POLL_S = 0.02


class OpenAIModel:
    """
    The LanguageModel port over HTTP; every request is streamed, and giving up closes its connection.

    Parameters
    ----------
    model_id : str
        As the server calls it.
    base_url : str
        For example ``http://10.0.0.5:8000``; ignored with a socket.
    socket : Path, optional
        A Unix socket.
    dialect : {'engine', 'vllm', 'llama_server'}
        How the server takes grammars and schemas.
    api_key : str
        Sent as a bearer token if not empty.
    route : str
        Said in answers.

    """

    def __init__(
        self,
        model_id: str,
        base_url: str = 'http://engine',
        *,
        socket: Path | None = None,
        dialect: wire.Dialect = 'vllm',
        api_key: str = '',
        route: str = '',
    ) -> None:
        self._model_id, self._socket, self._dialect = model_id, socket, dialect
        self._base_url = base_url
        self._headers = {'authorization': f'Bearer {api_key}'} if api_key else {}
        self._route = route or (f'server {base_url}' if socket is None else 'engine')

    @property
    def model_id(self) -> str:
        """Return the name of the model."""
        return self._model_id

    def close(self) -> None:
        """Do nothing: there is a connection only while a request is under way."""

    def generate(
        self,
        request: GenerateRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> GenerateAnswer:
        """Answer one request; the server may take several at once."""
        budget = Budget(request.deadline_s, cancelled)
        stream = _Stream(budget, on_text)
        try:
            asyncio.run(self._run(wire.encode(request, self._model_id, self._dialect), stream, budget))
        except httpx2.HTTPError as error:
            raise EngineDiedError(
                f'{self._route}: {type(error).__name__}: {error or "the connection ended"}'
            ) from error
        return stream.answer(self._model_id, self._route)

    async def _run(self, body: bytes, stream: _Stream, budget: Budget) -> None:
        work = asyncio.create_task(self._post(body, stream))
        try:
            while not (await asyncio.wait({work}, timeout=_POLL_S))[0]:
                budget.check('answering')
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _post(self, body: bytes, stream: _Stream) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=str(self._socket)) if self._socket is not None else None
        async with (
            httpx2.AsyncClient(
                transport=transport, base_url=self._base_url, timeout=None, headers=self._headers
            ) as client,
            client.stream(
                'POST', '/v1/chat/completions', content=body, headers={'content-type': 'application/json'}
            ) as response,
        ):
            if response.status_code != 200:
                raise wire.error_from(_json(await response.aread()), response.status_code)
            async for line in response.aiter_lines():
                if line.startswith('data:'):
                    stream.take(line.removeprefix('data:').strip())
        stream.end()


class _Stream:
    """The events of one answer, put together."""

    def __init__(self, budget: Budget, on_text: Callable[[str], None] | None) -> None:
        self._budget, self._on_text = budget, on_text
        self._text: list[str] = []
        self._pieces = 0
        self._first_token_s = 0.0
        self._finish = ''
        self._usage: dict[str, Any] = {}
        self._own: dict[str, Any] = {}

    def take(self, data: str) -> None:
        """Read one event; raise the error that it carries."""
        if data == '[DONE]':
            return
        event = _json(data)
        if 'error' in event:
            raise wire.error_from(event, 200)
        self._usage = event.get('usage') or self._usage
        self._own = event.get('gemma4') or self._own
        for choice in event.get('choices', []):
            self._finish = choice.get('finish_reason') or self._finish
            if text := choice.get('delta', {}).get('content'):
                self._first_token_s = self._first_token_s or self._budget.elapsed_s()
                self._pieces += 1
                self._text.append(text)
                if self._on_text is not None:
                    self._on_text(text)

    def end(self) -> None:
        """Refuse an answer that broke off."""
        if not self._finish:
            raise EngineDiedError('the model server ended the answer before its end')

    def answer(self, model_id: str, route: str) -> GenerateAnswer:
        """Return the whole answer; figures that the server does not tell are those seen from here."""
        details = self._usage.get('prompt_tokens_details') or {}
        output_tokens = int(self._usage.get('completion_tokens', self._pieces))
        return GenerateAnswer(
            text=''.join(self._text),
            model=model_id,
            route=route,
            prompt_tokens=int(self._usage.get('prompt_tokens', 0)),
            cached_tokens=int(details.get('cached_tokens') or 0),
            output_tokens=output_tokens,
            forced_tokens=int(self._own.get('forced_tokens', 0)),
            passes=int(self._own.get('passes', output_tokens)),
            first_token_s=float(self._own.get('first_token_s', self._first_token_s)),
            total_s=self._budget.elapsed_s(),
            finish='length' if self._finish == 'length' else 'stop',
        )


def _json(data: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {'error': {'message': f'the model server sent no JSON: {data[:100]!r}'}}
    return value if isinstance(value, dict) else {}
