# SPDX-License-Identifier: Apache-2.0
"""The engine's child process: started, watched, started again; behind the LanguageModel port."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import httpx2

from gemma4_ros.backends.budget import Budget
from gemma4_ros.backends.model_store import check_file
from gemma4_ros.backends.openai_http import OpenAIModel
from gemma4_ros.backends.profiles import ModelProfile
from gemma4_ros.core.errors import EngineDiedError, ModelError, ModelMissingError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, never

__all__ = ['EngineClient', 'EngineOptions', 'EngineState', 'EngineStatus']


class EngineState(Enum):
    """Where the child stands."""

    ABSENT = 'absent'
    LOADING = 'loading'
    READY = 'ready'
    CRASHED = 'crashed'


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the supervisor knows of the child."""

    state: EngineState
    text: str = ''
    pid: int = 0
    restarts: int = 0
    context_tokens: int = 0
    prefix_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """
    How the child is started.

    Attributes
    ----------
    threads, context_tokens : int
        0 leaves the choice to the engine.
    nice : int
        Added to the child's niceness; 20 stands for SCHED_IDLE.
    prefix_folder : Path, optional
        Where evaluated prompts (all but their last message) survive a restart.
    models_file : Path, optional
        Another models.yaml.
    backoff_s, backoff_max_s : float
        First and longest wait before the next start; doubled after a crash, first again after ``calm_s`` without one.

    """

    threads: int = 0
    context_tokens: int = 0
    nice: int = 5
    prefix_folder: Path | None = None
    models_file: Path | None = None
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    calm_s: float = 60.0


class EngineClient:
    """
    One model in a child process; crashes cost the running request, and nothing else.

    Parameters
    ----------
    profile : ModelProfile
        Entry of config/models.yaml.
    path : Path
        Its file; waited for if it is not there.
    options : EngineOptions
        How to run it.
    on_status : callable, optional
        Told every change, from the supervisor's thread.

    """

    def __init__(
        self,
        profile: ModelProfile,
        path: Path,
        options: EngineOptions | None = None,
        on_status: Callable[[EngineStatus], None] | None = None,
    ) -> None:
        self._profile, self._path = profile, path.absolute()
        self._options = options or EngineOptions()
        self._on_status = on_status
        self._status = EngineStatus(EngineState.LOADING)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix='gemma4_engine_', dir=os.environ.get('XDG_RUNTIME_DIR') or None))
        self._thread = threading.Thread(target=self._supervise, name='engine', daemon=True)
        self._thread.start()

    @property
    def model_id(self) -> str:
        """Return the id in config/models.yaml."""
        return self._profile.id

    @property
    def status(self) -> EngineStatus:
        """Return the newest status."""
        return self._status

    def generate(
        self,
        request: GenerateRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> GenerateAnswer:
        """Answer; waits within its deadline for an engine that is being loaded or restarted."""
        budget = Budget(request.deadline_s, cancelled)
        used = self._wait_until_ready(budget)
        left_s = max(request.deadline_s - budget.elapsed_s(), 0.001)
        model = OpenAIModel(self.model_id, socket=self._socket, dialect='engine', route=f'engine {self.model_id}')
        try:
            answer = model.generate(replace(request, deadline_s=left_s), cancelled=cancelled, on_text=on_text)
        except EngineDiedError as error:
            self._wait_for_news(used)
            raise EngineDiedError('the engine ended while it answered; it is being restarted: ask again') from error
        waited_s = budget.elapsed_s() - answer.total_s
        return replace(answer, first_token_s=answer.first_token_s + waited_s, total_s=answer.total_s + waited_s)

    def close(self) -> None:
        """End the child and wait for it; may be called twice."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout=10.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def refresh(self) -> EngineStatus:
        """Ask the child for its figures and return them."""
        if self._status.state is EngineState.READY and (told := self._ask_health()) is not None:
            self._status = replace(self._status, prefix_tokens=int(told.get('prefix_tokens', 0)))
        return self._status

    @property
    def _socket(self) -> Path:
        return self._folder / 'engine.sock'

    def _wait_until_ready(self, budget: Budget) -> EngineStatus:
        with self._changed:
            while self._status.state is not EngineState.READY:
                if self._closing.is_set():
                    raise ModelError('the engine is being shut down')
                if self._status.state is EngineState.ABSENT:
                    raise ModelMissingError(self._status.text)
                budget.check('waiting for the engine')
                self._changed.wait(timeout=0.02)
            return self._status

    def _wait_for_news(self, used: EngineStatus) -> None:
        """Let the supervisor see a child's end before the caller can ask again."""
        with self._changed:
            self._changed.wait_for(lambda: self._status.pid != used.pid, timeout=1.0)

    # The supervisor's thread -----------------------------------------------------------------------------------------
    def _supervise(self) -> None:
        wait_s, restarts = self._options.backoff_s, 0
        while not self._closing.is_set():
            problem = self._file_problem()
            if problem:
                self._tell(EngineStatus(EngineState.ABSENT, problem, restarts=restarts))
                self._closing.wait(1.0)
                continue
            started_s = time.monotonic()
            self._tell(EngineStatus(EngineState.LOADING, restarts=restarts))
            reason = self._run_child(restarts)
            if self._closing.is_set():
                break
            if time.monotonic() - started_s > self._options.calm_s:
                wait_s = self._options.backoff_s
            restarts += 1
            self._tell(EngineStatus(EngineState.CRASHED, f'{reason}; next start in {wait_s:g} s', restarts=restarts))
            self._closing.wait(wait_s)
            wait_s = min(wait_s * 2, self._options.backoff_max_s)

    def _file_problem(self) -> str:
        try:
            check_file(self._path, self._profile)
        except ModelError as error:
            return str(error)
        return ''

    def _run_child(self, restarts: int) -> str:
        """Start the child, wait for its end, and return why it ended."""
        self._socket.unlink(missing_ok=True)
        child = subprocess.Popen(
            self._command(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=self._folder, env=_environment()
        )
        is_ready = False
        try:
            while child.poll() is None and not self._closing.is_set():
                if not is_ready and (told := self._ask_health()) is not None:
                    is_ready = True
                    context = int(told.get('context_tokens', 0))
                    self._tell(EngineStatus(EngineState.READY, '', child.pid, restarts, context))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=0.05)
        finally:
            _end(child)
        output = child.stdout.read() if child.stdout is not None else b''
        return _reason(child.returncode, output)

    def _command(self) -> list[str]:
        options = self._options
        command = [sys.executable, '-m', 'gemma4_ros.backends.engine_process', '--model-id', self._profile.id]
        command += ['--file', str(self._path), '--socket', str(self._socket), '--parent', str(os.getpid())]
        command += ['--threads', str(options.threads), '--context-tokens', str(options.context_tokens)]
        command += ['--nice', str(options.nice)]
        if options.prefix_folder is not None:
            command += ['--prefix-folder', str(options.prefix_folder.absolute())]
        if options.models_file is not None:
            command += ['--models-file', str(options.models_file.absolute())]
        return command

    def _ask_health(self) -> dict[str, Any] | None:
        try:
            transport = httpx2.HTTPTransport(uds=str(self._socket))
            with httpx2.Client(transport=transport, base_url='http://engine', timeout=2.0) as client:
                response = client.get('/health')
        except httpx2.HTTPError:
            return None
        return dict(response.json()) if response.status_code == 200 else None

    def _tell(self, status: EngineStatus) -> None:
        with self._changed:
            is_news = status != self._status
            self._status = status
            self._changed.notify_all()
        if is_news and self._on_status is not None:
            self._on_status(status)


def _environment() -> dict[str, str]:
    """Return the environment of the child: this very package, whatever the folder it starts in."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get('PYTHONPATH', '').split(os.pathsep))]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(dict.fromkeys(paths))}


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _reason(code: int, output: bytes) -> str:
    lines = output.decode('utf-8', 'replace').strip().splitlines()
    with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
        return str(json.loads(lines[-1])['error'])
    return f'the engine ended by signal {-code}' if code < 0 else f'the engine ended with status {code}'
