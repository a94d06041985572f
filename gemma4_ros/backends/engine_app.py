# SPDX-License-Identifier: Apache-2.0
"""Any LanguageModel as an OpenAI-style server: chat completions, streamed or not; closing the connection cancels."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gemma4_ros.backends import openai_wire as wire
from gemma4_ros.core.errors import Gemma4Error, ModelError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, LanguageModel

__all__ = ['STUCK_EXIT', 'Engine', 'make_app']

STUCK_EXIT = 4
_STUCK_AFTER_S = 10.0


@dataclass(slots=True)
class Engine:
    """The model once it is loaded, and how many requests are under way."""

    model: LanguageModel | None = None
    busy: int = 0

    def health(self) -> dict[str, Any]:
        """Return what a supervisor wants to know."""
        model = self.model
        if model is None:
            return {'status': 'loading', 'pid': os.getpid()}
        return {
            'status': 'busy' if self.busy else 'ready',
            'pid': os.getpid(),
            'model': model.model_id,
            'context_tokens': getattr(model, 'context_tokens', 0),
            'prefix_tokens': getattr(model, 'prefix_tokens', 0),
        }


def make_app(engine: Engine) -> Starlette:
    """Return the application; the model may come later, requests are refused until then."""

    async def health(_request: Request) -> Response:
        return JSONResponse(engine.health(), status_code=200 if engine.model is not None else 503)

    async def models(_request: Request) -> Response:
        known = [] if engine.model is None else [{'id': engine.model.model_id, 'object': 'model'}]
        return JSONResponse({'object': 'list', 'data': known})

    async def chat(request: Request) -> Response:
        try:
            asked, streamed = wire.parse(await _body(request))
            if engine.model is None:
                raise ModelError('the model is still being loaded: ask again')
        except Gemma4Error as error:
            return JSONResponse(wire.error_json(error), status_code=400 if isinstance(error, ModelError) else 500)
        return _Completion(engine, engine.model, asked, streamed)

    return Starlette(
        routes=[
            Route('/health', health),
            Route('/v1/models', models),
            Route('/v1/chat/completions', chat, methods=['POST']),
        ]
    )


async def _body(request: Request) -> bytes:
    body = b''
    async for block in request.stream():
        body += block
        if len(body) > wire.MAX_BODY_BYTES:
            raise ModelError(f'the request is larger than {wire.MAX_BODY_BYTES} bytes: send smaller images')
    return body


class _Completion(Response):
    """One answer on its way; the model works in a thread, this watches the connection."""

    def __init__(self, engine: Engine, model: LanguageModel, asked: GenerateRequest, streamed: bool) -> None:
        self._engine, self._model, self._asked, self._streamed = engine, model, asked, streamed
        self._cancel = threading.Event()
        self.background = None

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        self._engine.busy += 1
        work = loop.run_in_executor(None, self._generate, tell if self._streamed else None)
        work.add_done_callback(lambda _: pieces.put_nowait(None))
        left = asyncio.create_task(_disconnected(receive))
        left.add_done_callback(lambda task: None if task.cancelled() else self._give_up())
        try:
            await (self._stream(work, pieces, send) if self._streamed else self._send(work, send))
        finally:
            left.cancel()
            self._engine.busy -= 1

    def _generate(self, tell: Callable[[str], None] | None) -> GenerateAnswer:
        return self._model.generate(self._asked, cancelled=self._cancel.is_set, on_text=tell)

    def _give_up(self) -> None:
        self._cancel.set()
        asyncio.get_running_loop().create_task(self._die_if_stuck())

    async def _die_if_stuck(self) -> None:
        """End the process if the model does not stop: whoever supervises it starts it again."""
        await asyncio.sleep(_STUCK_AFTER_S)
        if self._engine.busy:
            os._exit(STUCK_EXIT)

    async def _send(self, work: asyncio.Future[GenerateAnswer], send: Send) -> None:
        try:
            body, status = wire.answer_json(await work, streamed=False), 200
        except Gemma4Error as error:
            body, status = wire.error_json(error), wire.status_of(error)
        await send(_start(status, b'application/json'))
        await send({'type': 'http.response.body', 'body': msgspec.json.encode(body)})

    async def _stream(
        self, work: asyncio.Future[GenerateAnswer], pieces: asyncio.Queue[str | None], send: Send
    ) -> None:
        await send(_start(200, b'text/event-stream'))
        while (piece := await pieces.get()) is not None:
            await send(_event(wire.chunk_json(piece, self._model.model_id)))
        try:
            await send(_event(wire.answer_json(work.result(), streamed=True)))
        except Gemma4Error as error:
            await send(_event(wire.error_json(error)))
        await send({'type': 'http.response.body', 'body': b'data: [DONE]\n\n'})


def _start(status: int, kind: bytes) -> dict[str, Any]:
    return {'type': 'http.response.start', 'status': status, 'headers': [(b'content-type', kind)]}


def _event(body: dict[str, Any]) -> dict[str, Any]:
    return {'type': 'http.response.body', 'body': b'data: ' + msgspec.json.encode(body) + b'\n\n', 'more_body': True}


async def _disconnected(receive: Receive) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass
