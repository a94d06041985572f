# SPDX-License-Identifier: Apache-2.0
"""What all tests share: what they need of the machine, and a ROS domain that is theirs alone."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gemma4_ros.backends.model_store import ModelStore
from gemma4_ros.backends.profiles import load_profiles
from gemma4_ros.backends.spotter_files import EMBEDDING
from gemma4_ros.backends.whisper_files import TINY_EN
from gemma4_ros.cli.pytest_plugin import ros_is_missing

DOMAINS = range(20, 90)
"""ROS domain ids that leave all ports below the kernel's ephemeral ones."""


def domain_id(worker: str, base: str) -> int:
    """Return the domain of a worker (``gw3``; empty without workers), from a base or from this folder's hash."""
    number = int(worker.removeprefix('gw') or 0) if worker.startswith('gw') else 0
    if base:
        return int(base) + number
    digest = hashlib.sha256(str(Path(__file__).resolve()).encode()).digest()
    return DOMAINS[(digest[0] * 256 + digest[1] + number) % len(DOMAINS)]


def _model_is_missing() -> str:
    paths = [ModelStore().path(load_profiles().get('embedded'))]
    paths += [wanted.folder / file for wanted in (TINY_EN, EMBEDDING) for file in wanted.files]
    lacking = [f'no {path}' for path in paths if not path.is_file()]
    return f'{", ".join(lacking)}: run `make models`' if lacking else ''


def pytest_configure(config: pytest.Config) -> None:
    """Fix the environment that nodes, and the processes that tests start, inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job hands on that it is ignored
    worker = os.environ.get('PYTEST_XDIST_WORKER', '')
    os.environ['ROS_DOMAIN_ID'] = str(domain_id(worker, os.environ.get('ROS_DOMAIN_ID', '')))
    os.environ.setdefault('ROS_LOG_DIR', tempfile.mkdtemp(prefix='gemma4_ros_log_'))
    os.environ['XDG_STATE_HOME'] = tempfile.mkdtemp(prefix='gemma4_ros_state_')  # no audit of a person's own
    os.environ.setdefault('HF_HUB_OFFLINE', '1')  # tests fetch nothing
    if not ros_is_missing:
        from gemma4_ros.ros import transport

        transport.apply()
    config.stash[_LACKING] = {'ros': ros_is_missing, 'model': _model_is_missing()}


_LACKING: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why; under `make test` nothing may be skipped for want of setup."""
    lacking = {name: reason for name, reason in config.stash[_LACKING].items() if reason}
    if lacking and os.environ.get('GEMMA4_TESTS_MUST_RUN') == '1':
        pytest.exit('tests cannot run: ' + '; '.join(lacking.values()), returncode=1)
    for item in items:
        for name, reason in lacking.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


_CONTEXTS: weakref.WeakSet[Any] = weakref.WeakSet()


def pytest_collection_finish() -> None:
    """Note every ROS context that tests make, and keep what is imported by now out of the collector's way."""
    if not ros_is_missing:
        from rclpy.context import Context

        made = Context.__init__

        def noted(self: Context, *args: Any, **kwargs: Any) -> None:
            made(self, *args, **kwargs)
            _CONTEXTS.add(self)

        Context.__init__ = noted
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Let no DDS participant outlive its test.

    A context that is shut down lives, and with it its participant and ten threads, until nothing refers to it, and
    nodes, clients and callbacks refer to each other in circles. Those that linger were found where a service was not
    seen for 10 s and more.
    """
    result = yield
    if any(not context.ok() for context in _CONTEXTS):
        gc.collect()
    return result


@pytest.fixture
def quickest() -> Callable[[Callable[[], float], float], float]:
    """Return a function that measures up to three times and returns the best: others' load only adds to a time."""

    def measure(once: Callable[[], float], limit_s: float) -> float:
        taken: list[float] = []
        while len(taken) < 3 and not (taken and taken[-1] < limit_s):
            taken.append(once())
        return min(taken)

    return measure


@pytest.fixture(autouse=True)
def _only_marked_tests_load_models(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that loads the real language model without saying so with the mark ``model``."""
    if request.node.get_closest_marker('model'):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GEMMA4_MODELS_DIR', '/nonexistent/tests-without-the-mark-model')
        yield
