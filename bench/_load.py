# SPDX-License-Identifier: Apache-2.0
"""What else keeps the computer busy during a measurement: a model that decodes flat out, a disk that is synced."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from gemma4_ros.backends.engine import EngineOptions
from gemma4_ros.backends.local import start_engine
from gemma4_ros.backends.model_store import ModelStore
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.core.errors import Gemma4Error
from gemma4_ros.core.ports import GenerateRequest, Message

__all__ = ['DecodingModel', 'DiskWriter', 'missing_model']

LOAD_S = 180.0
WRITER = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
while True:
    os.pwrite(file, os.urandom(1 << 20), 0)
    os.fsync(file)
"""


def missing_model(model_id: str = 'embedded') -> str:
    """Say why the model cannot be used; empty where it can."""
    path = ModelStore().path(load_profiles().get(model_id))
    return '' if path.is_file() else f'no {path}; run make models'


class DecodingModel:
    """
    The engine as it is shipped (own process, its own niceness and threads), answering one request after the other.

    It is loaded when the context is entered, and decodes between `begin` and `pause`.
    """

    def __init__(self, model_id: str = 'embedded') -> None:
        self.model_id, self.tokens, self.decoded_s, self.error = model_id, 0, 0.0, ''
        self._wanted, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> DecodingModel:
        """Load, and answer once."""
        self._engine = start_engine(self.model_id, EngineOptions())
        self._engine.generate(self._request(2, LOAD_S))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the child."""
        self._over.set()
        self._wanted.set()
        self._thread.join(30.0)
        self._engine.close()

    @staticmethod
    def _request(tokens: int, deadline_s: float) -> GenerateRequest:
        text = 'Write a very long list of everything that a robot in a plant room should look at every day.'
        return GenerateRequest(messages=(Message('user', text),), max_tokens=tokens, deadline_s=deadline_s)

    def begin(self) -> None:
        """Decode from now on."""
        self._wanted.set()

    def pause(self) -> None:
        """Decode no more; what runs is cancelled."""
        self._wanted.clear()

    def _run(self) -> None:
        while not self._over.is_set():
            self._wanted.wait()
            start = time.monotonic()
            try:
                answer = self._engine.generate(self._request(32, 120.0), cancelled=lambda: not self._wanted.is_set())
            except Gemma4Error as error:
                if self._wanted.is_set() and not self._over.is_set():
                    self.error = str(error)
                    return
            else:
                self.tokens += answer.output_tokens
            self.decoded_s += time.monotonic() - start

    def figures(self) -> dict[str, Any]:
        """Return what was decoded; of a request that was cancelled only the time counts."""
        rate = self.tokens / self.decoded_s if self.decoded_s else 0.0
        found = {'model': self.model_id, 'tokens': self.tokens, 'decoded_s': self.decoded_s, 'tokens_per_s': rate}
        return {**found, 'error': self.error}


class DiskWriter:
    """A process that writes a mebibyte and has the disk sync it, again and again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, self._path = tempfile.mkstemp(prefix='sync_', dir=folder)
        os.close(handle)

    def __enter__(self) -> DiskWriter:
        """Begin."""
        self._process = subprocess.Popen([sys.executable, '-c', WRITER, self._path])
        return self

    def __exit__(self, *_: object) -> None:
        """End, and leave nothing behind."""
        self._process.kill()
        self._process.wait(10.0)
        Path(self._path).unlink(missing_ok=True)
