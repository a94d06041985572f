# SPDX-License-Identifier: Apache-2.0
"""The child that holds the weights: no ROS, no network, an OpenAI-style server on a private Unix socket.

``python -m gemma4_ros.backends.engine_process --model-id embedded --file FILE --socket PATH --parent PID``. It lowers
its own priority, offers itself first when memory runs out, and dies with its parent. If the model cannot be loaded it
prints one JSON line ``{"code": ..., "error": ...}`` and exits with 3.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from gemma4_ros.backends.engine_app import Engine, make_app
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.core.errors import Gemma4Error, ModelError

__all__ = ['LOAD_FAILED_EXIT', 'main']

LOAD_FAILED_EXIT = 3
_PR_SET_PDEATHSIG = 1


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or the end of the parent."""
    options = _parse(argv)
    _die_with_parent(options.parent)
    _step_back(options.nice)
    server = uvicorn.Server(uvicorn.Config(make_app(engine := Engine()), log_level='warning', lifespan='off'))
    failed: list[Gemma4Error] = []
    threading.Thread(target=_load, args=(options, engine, server, failed), daemon=True).start()
    with _listen(Path(options.socket)) as listener:
        server.run(sockets=[listener])
    if failed:
        sys.stdout.write(json.dumps({'code': failed[0].code, 'error': str(failed[0])}) + '\n')
        return LOAD_FAILED_EXIT
    if engine.model is not None and not engine.busy:
        engine.model.close()
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='engine_process', description='Hold the weights and answer on a Unix socket.')
    parser.add_argument('--model-id', required=True, help='entry of models.yaml')
    parser.add_argument('--models-file', type=Path, help='another models.yaml')
    parser.add_argument('--file', type=Path, required=True, help='the GGUF file')
    parser.add_argument('--socket', required=True, help='where to listen; made with mode 0600')
    parser.add_argument('--parent', type=int, required=True, help='process to die with')
    parser.add_argument('--threads', type=int, default=0, help='0: the cores that it may use, less one')
    parser.add_argument('--context-tokens', type=int, default=0, help="0: the entry's")
    parser.add_argument('--nice', type=int, default=5, help='20: SCHED_IDLE')
    parser.add_argument('--prefix-folder', type=Path, help='where evaluated prompts are kept')
    return parser.parse_args(argv)


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        sys.exit(0)


def _step_back(nice: int) -> None:
    """Lower the own priority, never raise it; a refused call changes nothing that matters."""
    with contextlib.suppress(OSError):
        if nice >= 20:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        elif nice > 0:
            os.nice(nice)
    with contextlib.suppress(OSError):
        Path('/proc/self/oom_score_adj').write_text('500', encoding='ascii')


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    return listener


def _load(options: argparse.Namespace, engine: Engine, server: uvicorn.Server, failed: list[Gemma4Error]) -> None:
    from gemma4_ros.backends.llama_cpp import LlamaCppModel  # after the socket: its library takes a while to load

    try:
        model = LlamaCppModel(
            load_profiles(options.models_file).get(options.model_id),
            options.file,
            n_threads=options.threads or None,
            n_ctx=options.context_tokens or None,
            prefix_folder=options.prefix_folder,
        )
        _ = model.tokenizer  # the grammar engine's tables, so that the first request does not wait for them
        engine.model = model
    except Gemma4Error as error:
        failed.append(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        failed.append(ModelError(f'{type(error).__name__}: {error}'))
    if failed:
        server.should_exit = True


if __name__ == '__main__':
    sys.exit(main())
