# SPDX-License-Identifier: Apache-2.0
"""The engine as a child: private socket, no ROS, dies with its parent, comes back after a crash; and its protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from gemma4_ros.backends.engine import EngineClient, EngineOptions, EngineState
from gemma4_ros.backends.engine_app import Engine, make_app
from gemma4_ros.backends.openai_http import OpenAIModel
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.backends.tiny_gguf import write_tiny_gguf
from gemma4_ros.core.errors import (
    EngineDiedError,
    GrammarError,
    ModelCancelledError,
    ModelDeadlineError,
    ModelError,
    ModelMissingError,
)
from gemma4_ros.core.ports import GenerateRequest, Message

pytestmark = pytest.mark.timeout(90)
SCHEMA = json.dumps({'type': 'object', 'properties': {'n': {'enum': [1, 2, 3]}}, 'required': ['n']})
MODELS = """
models: "1"
default: tiny
profiles:
  tiny: {name: tiny, doc: random, licence: none, file: tiny.gguf, size_bytes: null, sha256: null,
    source: {hub: {repository: nobody/nothing, revision: main}}, modalities: [text], context_tokens: 4096,
    trained_context_tokens: null, kv_bytes_per_token: null}
"""


def ask(**more) -> GenerateRequest:
    return GenerateRequest((Message('user', 'go'),), **more)


def until(predicate: Callable[[], bool], what: str, deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    tick = threading.Event()
    while not predicate():
        assert time.monotonic() < end, f'{what} did not happen within {deadline_s} s'
        tick.wait(0.01)


def alive(pid: int) -> bool:
    return Path(f'/proc/{pid}').exists() and 'Z' not in Path(f'/proc/{pid}/stat').read_text().split(')')[1].split()[0]


@pytest.fixture
def folder(tmp_path) -> Path:
    write_tiny_gguf(tmp_path / 'tiny.gguf', 'gemma4')
    (tmp_path / 'models.yaml').write_text(MODELS, encoding='utf-8')
    return tmp_path


def start(folder: Path) -> EngineClient:
    options = EngineOptions(models_file=folder / 'models.yaml', nice=1, backoff_s=0.05)
    return EngineClient(load_profiles(folder / 'models.yaml').get(), folder / 'tiny.gguf', options)


@pytest.fixture
def engine(folder) -> Iterator[EngineClient]:
    engine = start(folder)
    yield engine
    engine.close()


def test_it_answers_on_a_private_socket_and_steps_back(engine):
    told: list[str] = []
    answer = engine.generate(ask(json_schema=SCHEMA), on_text=told.append)
    assert json.loads(answer.text)['n'] in (1, 2, 3)
    assert ''.join(told) == answer.text
    assert (answer.model, answer.route, answer.finish) == ('tiny', 'engine tiny', 'stop')
    assert engine._socket.stat().st_mode & 0o777 == 0o600
    assert engine._socket.parent.stat().st_mode & 0o777 == 0o700
    pid = engine.status.pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 1
    assert Path(f'/proc/{pid}/oom_score_adj').read_text().strip() == '500'
    engine.close()
    engine.close()
    assert not alive(pid)
    assert not engine._socket.parent.exists()


def test_cancel_closes_the_connection_and_frees_the_engine(engine, quickest):
    def once() -> float:
        told: list[str] = []
        began = time.monotonic()

        def cancelled() -> bool:
            nonlocal began
            if len(told) < 3:
                began = time.monotonic()
                return False
            return True

        request = ask(grammar='start: /[a-z]{3000}/', max_tokens=3000)
        with pytest.raises(ModelCancelledError):
            engine.generate(request, cancelled=cancelled, on_text=told.append)
        return time.monotonic() - began

    assert quickest(once, 0.2) < 0.2
    assert engine.generate(ask(json_schema=SCHEMA, deadline_s=5.0)).text


def test_a_killed_engine_costs_one_answer_and_comes_back(engine):
    told: list[str] = []

    def kill(text: str) -> None:
        told.append(text)
        if len(told) == 3:
            os.kill(engine.status.pid, signal.SIGKILL)

    with pytest.raises(EngineDiedError, match='restarted'):
        engine.generate(ask(grammar='start: /[a-z]{3000}/', max_tokens=3000), on_text=kill)
    assert engine.generate(ask(json_schema=SCHEMA)).text
    assert engine.status.restarts == 1


def test_errors_keep_their_class_across_the_socket(engine):
    with pytest.raises(GrammarError):
        engine.generate(ask(grammar='start: ('))
    with pytest.raises(ModelDeadlineError):
        engine.generate(ask(grammar='start: /[a-z]{3000}/', max_tokens=3000, deadline_s=0.1))


def test_a_missing_file_is_waited_for(folder):
    data = (folder / 'tiny.gguf').read_bytes()
    (folder / 'tiny.gguf').unlink()
    engine = start(folder)
    try:
        until(lambda: engine.status.state is EngineState.ABSENT, 'the absence')
        with pytest.raises(ModelMissingError, match='gemma4 model get tiny'):
            engine.generate(ask())
        (folder / 'tiny.gguf').write_bytes(data)
        until(lambda: engine.status.state is EngineState.READY, 'the start')
    finally:
        engine.close()


def test_a_damaged_file_is_said_and_not_hammered(folder):
    file = folder / 'tiny.gguf'
    file.write_bytes(file.read_bytes()[:-4000])
    engine = start(folder)
    try:
        until(lambda: engine.status.state is EngineState.CRASHED, 'the crash')
        assert 'cannot be loaded' in engine.status.text
    finally:
        engine.close()


def test_the_child_dies_with_its_parent(folder):
    code = (
        'import sys; sys.path.insert(0, sys.argv[1])\n'
        'from pathlib import Path\n'
        'from gemma4_ros.backends.engine import *\n'
        'from gemma4_ros.backends.profiles import load_profiles\n'
        'folder = Path(sys.argv[2])\n'
        'models = folder / "models.yaml"\n'
        'engine = EngineClient(load_profiles(models).get(), folder / "tiny.gguf", EngineOptions(models_file=models))\n'
        'while not engine.status.pid: engine._closing.wait(0.02)\n'
        'print(engine.status.pid, flush=True)\n'
        'engine._closing.wait(60)\n'
    )
    root = str(Path(__file__).resolve().parents[2])
    parent = subprocess.Popen(
        [sys.executable, '-c', code, root, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, 'TMPDIR': str(folder)},
    )
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(pid), 'the end of the child', 5.0)


def test_the_child_imports_no_ros():
    code = (
        'import sys, gemma4_ros.backends.engine_process, gemma4_ros.backends.llama_cpp; print("rclpy" in sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == 'False'


# The protocol, over TCP, with a scripted model -----------------------------------------------------------------------
@pytest.fixture
def served() -> Iterator[tuple[ScriptedModel, str]]:
    model = ScriptedModel(['one two', 'three', GrammarError('no such rule')])
    server = uvicorn.Server(uvicorn.Config(make_app(Engine(model)), port=0, log_level='error', lifespan='off'))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, 'the server')
    yield model, f'http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}'
    server.should_exit = True
    thread.join(10.0)


def test_an_openai_client_is_served(served):
    model, url = served
    body = {
        'model': 'scripted',
        'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'go'}]}],
        'response_format': {'type': 'json_schema', 'json_schema': {'name': 'a', 'schema': {'type': 'object'}}},
        'stop': 'x',
        'max_tokens': 9,
    }
    answer = httpx2.post(f'{url}/v1/chat/completions', json=body).json()
    assert answer['choices'][0]['message']['content'] == 'one two'
    assert answer['usage']['completion_tokens'] == 2
    assert model.requests[0] == ask(json_schema='{"type": "object"}', stop=('x',), max_tokens=9)
    assert httpx2.get(f'{url}/v1/models').json()['data'][0]['id'] == 'scripted'
    streamed = httpx2.post(f'{url}/v1/chat/completions', json={**body, 'stream': True}).text
    assert streamed.endswith('data: [DONE]\n\n')
    refused = httpx2.post(f'{url}/v1/chat/completions', json=body)
    assert (refused.status_code, refused.json()['error']['code']) == (400, 208)


def test_an_off_board_server_is_a_language_model(served):
    model, url = served
    answer = OpenAIModel('scripted', url, dialect='vllm').generate(ask(json_schema=SCHEMA, max_tokens=7))
    assert (answer.text, answer.route) == ('one two', f'server {url}')
    assert json.loads(model.requests[0].json_schema) == json.loads(SCHEMA)


def test_nobody_there_is_an_engine_error():
    with pytest.raises(EngineDiedError, match='ConnectError'):
        OpenAIModel('x', 'http://127.0.0.1:9').generate(ask())


def image_body(url: str) -> bytes:
    part = {'type': 'image_url', 'image_url': {'url': url}}
    return json.dumps({'messages': [{'role': 'user', 'content': [part]}]}).encode()


@pytest.mark.parametrize(
    'body',
    [
        b'{',
        b'[]',
        b'{"messages": 3}',
        image_body('http://x/y.png'),
        image_body('data:image/png;base64,!'),
        b'{"messages": [{"role": "user", "content": "x"}], "gemma4": {"gramar": ""}}',
    ],
)
def test_a_bad_body_is_refused(served, body):
    answer = httpx2.post(f'{served[1]}/v1/chat/completions', content=body)
    assert answer.status_code == 400
    assert answer.json()['error']['code'] == ModelError.code
