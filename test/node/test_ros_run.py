# SPDX-License-Identifier: Apache-2.0
"""Processes of nodes: start, configure, stop."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip('rclpy')

from gemma4_ros.nodes import run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.ros

TOY = """
import sys
from rclpy.node import Node
from rclpy.lifecycle import TransitionCallbackReturn
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.nodes import run
from gemma4_ros.ros.lifecycle import LifecycleBase
from gemma4_ros.ros.workers import Workers


class ToyNode(LifecycleBase):
    def __init__(self, **kwargs):
        super().__init__('toy', **kwargs)
        self.workers = Workers(self)
        self.declare_parameter('broken', False)

    def on_configure(self, state):
        if self.get_parameter('broken').value:
            raise ConfigError('world.yaml: no places')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state):
        print('active', flush=True)
        return TransitionCallbackReturn.SUCCESS

    async def shutdown(self):
        await self.workers.sleep(0.1)
        print('ended', flush=True)


class PlainNode(Node):
    def __init__(self, **kwargs):
        super().__init__('plain', **kwargs)
        self.declare_parameter('crash', False)
        self.create_timer(0.01, self.beat)

    def beat(self):
        if self.get_parameter('crash').value:
            raise RuntimeError('boom')
        print('beat', flush=True)

    def shutdown(self):
        print('plain ended', flush=True)


run.NODES.update(toy='__main__:ToyNode', plain='__main__:PlainNode')
sys.exit(run.main(sys.argv[1:]))
"""


# this copy of the code first, wherever the script lies
ROOT = str(Path(run.__file__).parents[2])
ENVIRONMENT = {**os.environ, 'PYTHONPATH': os.pathsep.join([ROOT, os.environ.get('PYTHONPATH', '')])}


class Running:
    """One process whose output is waited for with a deadline."""

    def __init__(self, folder: Path, *argv: str) -> None:
        script = folder / 'toy.py'
        script.write_text(TOY)
        self.process = subprocess.Popen(
            [sys.executable, str(script), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
        )
        self.output = ''

    def wait_for(self, text: str, deadline_s: float = 20.0) -> None:
        end = time.monotonic() + deadline_s
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while text not in self.output and time.monotonic() < end:
                if selector.select(0.1):
                    chunk = os.read(self.process.stdout.fileno(), 4096).decode()
                    if not chunk:
                        break
                    self.output += chunk
        assert text in self.output, self.output

    def end(self, deadline_s: float = 20.0) -> tuple[int, str]:
        rest, _ = self.process.communicate(timeout=deadline_s)
        return self.process.returncode, self.output + rest.decode()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[list[Running]]:
    started: list[Running] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_after_its_shutdown(
    tmp_path: Path, running: list[Running], number: signal.Signals
) -> None:
    running.append(Running(tmp_path, 'toy'))
    running[0].wait_for('active')
    start = time.monotonic()
    running[0].process.send_signal(number)
    code, output = running[0].end()
    assert (code, 'ended' in output) == (0, True), output
    assert 'Traceback' not in output
    assert time.monotonic() - start < 3.0


def test_autostart_false_leaves_the_node_unconfigured(tmp_path: Path, running: list[Running]) -> None:
    running.append(Running(tmp_path, 'composed', 'toy', 'plain', '--ros-args', '-p', 'autostart:=false'))
    running[0].wait_for('beat')
    running[0].process.send_signal(signal.SIGTERM)
    code, output = running[0].end()
    assert code == 0
    assert 'active' not in output
    assert output.index('plain ended') < output.rindex('ended')


def test_a_failed_configuration_says_why_and_exits_2(tmp_path: Path, running: list[Running]) -> None:
    running.append(Running(tmp_path, 'toy', '--ros-args', '-p', 'broken:=true'))
    code, output = running[0].end()
    assert code == 2
    assert 'world.yaml: no places' in output


def test_a_callback_that_raises_ends_the_process(tmp_path: Path, running: list[Running]) -> None:
    running.append(Running(tmp_path, 'plain', '--ros-args', '-p', 'crash:=true'))
    code, output = running[0].end()
    assert code == 1
    assert 'boom' in output
    assert 'plain ended' in output


@pytest.mark.parametrize(
    ('argv', 'says'),
    [
        ((), 'name the node to run'),
        (('nobody',), "no node 'nobody'"),
        (('toy', 'gate'), 'gate runs in a process of its own'),
        (('toy', '--ros-args', '-p'), 'wrong --ros-args'),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    tmp_path: Path, running: list[Running], argv: tuple[str, ...], says: str
) -> None:
    running.append(Running(tmp_path, *argv))
    code, output = running[0].end()
    assert code == 2
    assert says in output
    assert 'Traceback' not in output


def test_a_node_ends_with_its_parent_where_asked(tmp_path: Path, running: list[Running]) -> None:
    script = tmp_path / 'parent.py'
    script.write_text(
        'import os, subprocess, sys\n'
        'child = subprocess.Popen([sys.executable, *sys.argv[1:]], env={**os.environ, "GEMMA4_DIE_WITH_PARENT": "1"})\n'
        'print("child", child.pid, flush=True)\n'
        'child.wait()\n'
    )
    (tmp_path / 'child').mkdir()
    toy = tmp_path / 'child' / 'toy.py'
    toy.write_text(TOY)
    one = Running.__new__(Running)
    one.output = ''
    one.process = subprocess.Popen(
        [sys.executable, str(script), str(toy), 'toy'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
    )
    running.append(one)
    one.wait_for('active')
    one.process.kill()
    one.wait_for('ended')
