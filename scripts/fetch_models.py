#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetch the models that demo and tests use, with progress; `gemma4 model get NAME` fetches any other.

Then let the embedded model read the constant part of the example robot's prompt and keep that on disk, so that the
first command does not wait for it.
"""

from __future__ import annotations

import hashlib
import sys
import time

from gemma4_ros.backends import model_fetch
from gemma4_ros.backends.local import load_in_process, prefix_folder
from gemma4_ros.backends.model_store import ModelStore
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.backends.spotter_files import EMBEDDING
from gemma4_ros.backends.whisper_files import TINY_EN, fetch
from gemma4_ros.core.errors import Gemma4Error
from gemma4_ros.core.planning.planner import Planner
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_catalogue

LINE_EVERY_S = 5.0


class Lines:
    """Progress in plain lines: one when something new begins, then one every few seconds."""

    def __init__(self) -> None:
        self._what = ''
        self._last_s = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report `done` of `total` (0: not known) of what is being done."""
        now_s = time.monotonic()
        is_new = what != self._what and now_s - self._last_s > 1.0
        if is_new or now_s - self._last_s > LINE_EVERY_S:
            share = f' {100 * done // total} %' if total else ''
            print(f'models: {what}{share}', flush=True)
            self._what, self._last_s = what, now_s


def warm(model_id: str) -> None:
    """Read the example robot's prompt once for a model; nothing happens where that was done before."""
    catalogue = load_catalogue(GateFiles())
    world, toolset = catalogue.world, catalogue.toolset
    told = Planner(world, toolset, ScriptedModel([])).constant_messages
    model_file = ModelStore().path(load_profiles().get(model_id))
    seen = repr((told, model_file.name, model_file.stat().st_size, model_file.stat().st_mtime_ns))
    marker = prefix_folder() / f'read-{hashlib.sha256(seen.encode()).hexdigest()[:32]}'
    if marker.is_file():
        return
    print('models: the embedded model reads the prompt of the example robot, once; about a minute', flush=True)
    model = load_in_process(model_id)
    try:
        Planner(world, toolset, model).warm()
    finally:
        model.close()
    marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker.touch()


def main() -> int:
    """Fetch what is not there; say nothing where all is."""
    try:
        model_fetch.fetch(ModelStore(), load_profiles().get('embedded'), Lines())
        for wanted in (TINY_EN, EMBEDDING):
            fetch(wanted, Lines())
        warm('embedded')
    except Gemma4Error as error:
        print(f'models: {error}', file=sys.stderr)
        return 6
    except KeyboardInterrupt:
        print('models: interrupted; run it again and it goes on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
