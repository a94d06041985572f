# SPDX-License-Identifier: Apache-2.0
"""The supervisor with real processes: ready, restarted, stopped, nothing left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip('rclpy')

from gemma4_ros.cli.graph_watch import LIFECYCLE
from gemma4_ros.cli.up import Stack
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.nodes.table import TABLE

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(90)]
SAFE = ('deadman', 'gate')


def test_it_starts_is_ready_restarts_and_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    stack = Stack(sim=True, log_dir=tmp_path, only=SAFE, say=said.append)
    with stack:
        stack.wait_ready(40.0)
        assert set(stack.pids) == set(SAFE)
        first = stack.pids['gate']
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 20.0
        while stack.pids.get('gate', first) == first:
            assert time.monotonic() < end
            stack.poll()
        assert any('gate ended with -9' in line and 'starting it again' in line for line in said)
        stack.wait_ready(40.0)
        pids = list(stack.pids.values())
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not stack.is_alive('gate')
    assert not any('did not end by itself' in line for line in said), said
    assert (tmp_path / 'gate.log').is_file()


def test_a_node_that_refuses_its_configuration_ends_the_start(tmp_path: Path) -> None:
    config = tmp_path / 'config'
    config.mkdir()
    with Stack(config=str(config), log_dir=tmp_path, only=('deadman',)) as stack:
        with pytest.raises(ConfigError, match='deadman ended with 2'):
            stack.wait_ready(40.0)
        pids = stack.pids
    assert pids == {}


def test_the_nodes_with_a_lifecycle_are_those_that_are_waited_for() -> None:
    folder = Path(__file__).parents[2] / 'gemma4_ros' / 'nodes'
    found = {p.name for p in TABLE if '(LifecycleBase)' in (folder / f'{p.name}_node.py').read_text(encoding='utf-8')}
    assert found == LIFECYCLE
