# SPDX-License-Identifier: Apache-2.0
"""A person at the running stack: speaks, types, looks at what it says and at what the simulated robot really did."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = 'GEMMA4_TEST_MARK'
END_S, START_S = 15.0, 60.0
TURN_S = 120.0  # of one turn with the model on a busy machine
WARM_S = 240.0  # a prompt that this machine has never evaluated takes a minute


class Person:
    """Everything with a deadline, nothing with a sleep."""

    def __init__(self, session: Any) -> None:
        from gemma4_ros.action import Say
        from gemma4_ros.msg import (
            DeadmanState,
            GateState,
            ModelStatus,
            Reading,
            Reply,
            StopRequest,
            TreeState,
            TurnEvent,
            Utterance,
        )
        from nav_msgs.msg import Odometry
        from rclpy.action import ActionClient

        from gemma4_ros.ros import qos

        self.session, self.node = session, session.node
        self.replies: list[Any] = []
        self.events: list[Any] = []
        self.heard: list[Any] = []
        self.readings: list[Any] = []
        self.trees: list[Any] = []
        self.stops: list[Any] = []
        self.last: dict[str, Any] = {}
        self.open: list[tuple[Any, Any]] = []
        self.positions: list[tuple[float, float, float]] = []
        self.client = ActionClient(self.node, Say, 'copilot/say')
        latest = self.last.__setitem__
        for kind, topic, take, profile in (
            (Reply, 'copilot/reply', self.replies.append, qos.LATCHED_HISTORY),
            (TurnEvent, 'copilot/events', self.events.append, qos.LATCHED_HISTORY),
            (Utterance, 'speech/utterance', self.heard.append, qos.EVENTS),
            (Reading, 'perception/readings', self.readings.append, qos.EVENTS),
            (TreeState, 'executor/tree', self.trees.append, qos.STATE_LATCHED),
            (GateState, 'gate/state', lambda m: latest('gate', m), qos.STATE_LATCHED),
            (DeadmanState, 'deadman/state', lambda m: latest('deadman', m), qos.STATE_LATCHED),
            (ModelStatus, 'gemma/status', lambda m: latest('model', m), qos.STATE_LATCHED),
            (StopRequest, 'gate/stop', self.stops.append, qos.STOP),
            (Odometry, 'odom', self._odom, qos.SENSOR),
        ):
            self.node.create_subscription(kind, topic, take, profile)

    def _odom(self, message: Any) -> None:
        position = message.pose.pose.position
        self.positions.append((time.monotonic(), position.x, position.y))

    def until(self, predicate: Callable[[], Any], deadline_s: float, what: str) -> None:
        """Spin until something holds, or fail and say what did not."""
        assert self.session.until(lambda: bool(predicate()), deadline_s), f'not within {deadline_s:g} s: {what}'

    def send(self, text: str, person: str = 'anna') -> Any:
        """Type something; return what holds the result later."""
        from gemma4_ros.action import Say
        from gemma4_ros.msg import Utterance

        self.until(self.client.server_is_ready, 10.0, 'copilot/say is served')
        sent = self.client.send_goal_async(Say.Goal(utterance=Utterance(text=text, operator_id=person, confidence=1.0)))
        self.until(sent.done, 5.0, 'the copilot takes the command')
        handle = sent.result()
        self.open.append((handle, handle.get_result_async()))
        return self.open[-1][1]

    def result(self, future: Any, deadline_s: float = TURN_S) -> Any:
        """Wait for the end of a turn."""
        self.until(future.done, deadline_s, 'the end of the turn')
        return future.result().result

    def say(self, text: str, person: str = 'anna', deadline_s: float = TURN_S) -> Any:
        """Type something and wait for the end of the turn."""
        return self.result(self.send(text, person), deadline_s)

    def play(self, wav: Path) -> Any:
        """Play a recording and return the copilot's reply to it."""
        from gemma4_ros.cli.hear import publish_wav

        before = len(self.replies)
        publish_wav(wav, self.node)
        self.until(lambda: len(self.replies) > before, TURN_S, f'a reply to {wav.name}')
        return self.replies[before]

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service."""
        return self.session.call(kind, name, request)

    def facts(self) -> dict[tuple[str, str], str]:
        """Return how it really is, as the cell says."""
        from gemma4_ros.srv import GetWorld

        facts = self.call(GetWorld, 'cell/get_state', GetWorld.Request()).facts
        return {(fact.name, fact.args[0]): fact.value for fact in facts}

    def where(self) -> tuple[float, float]:
        """Return the newest position."""
        self.until(lambda: self.positions, 5.0, 'odom')
        return self.positions[-1][1:]

    def speed(self, window_s: float = 0.3) -> float:
        """Return the distance driven in the last moment, in metres a second."""
        if not self.positions:
            return math.inf
        end = self.positions[-1]
        start = next(p for p in self.positions if p[0] >= end[0] - window_s)
        return math.dist(start[1:], end[1:]) / max(end[0] - start[0], 1e-3) if end[0] - start[0] > 0.1 else math.inf

    def state(self, what: str) -> int:
        """Return the newest state of gate or deadman; -1 where none came."""
        return int(self.last[what].state) if what in self.last else -1

    def arm(self) -> None:
        """Clear what is latched and arm the gate."""
        from gemma4_ros.msg import DeadmanState, GateState
        from gemma4_ros.srv import SetArmed

        said: list[str] = []

        def order(name: str, command: int) -> None:
            answer = self.call(SetArmed, f'{name}/set_armed', SetArmed.Request(command=command, person='anna'))
            said.append(f'{name} {command}: {answer.text}')

        def armed() -> bool:  # a stop word is heard twice, by spotter and recogniser: what was reset may latch again
            if self.state('deadman') == DeadmanState.TRIPPED:
                order('deadman', SetArmed.Request.RESET)
            elif self.state('gate') == GateState.STOPPED and self.state('deadman') == DeadmanState.WATCHING:
                order('gate', SetArmed.Request.RESET)
            elif self.state('gate') == GateState.DISARMED:
                order('gate', SetArmed.Request.ARM)
            return self.state('gate') == GateState.ARMED and self.state('deadman') == DeadmanState.WATCHING

        self.until(armed, 30.0, f'the gate arms: {said}')

    def finish(self) -> None:
        """Cancel what a failed test left running, so that the next one can start."""
        for handle, result in self.open:
            if not result.done():
                handle.cancel_goal_async()
                self.session.until(result.done, 30.0)
        self.open.clear()


class Room:
    """The running stack, who talks to it, and the folder in which it writes."""

    def __init__(self, stack: Any, person: Person, out: Path) -> None:
        self.stack, self.person, self.out = stack, person, out


def settings_of(out: Path) -> dict[str, dict[str, str]]:
    """Return parameters that keep all that is written below a folder."""
    return {
        'cell': {'speed': '4.0'},
        'gate': {'audit_dir': str(out / 'audit')},
        'perception': {'evidence_dir': str(out / 'evidence')},
        'recorder': {'file': str(out / 'recording.mcap')},
    }


class Up:
    """A running ``gemma4 up`` and everything that it started."""

    def __init__(self, process: subprocess.Popen[str], mark: str, out: Path) -> None:
        self.process, self.mark, self.out = process, mark, out

    def all(self) -> list[psutil.Process]:
        """Return all living processes that carry the mark: the command, its nodes, their children."""
        found = []
        for each in psutil.process_iter():
            try:
                if each.environ().get(MARK) == self.mark and each.status() != psutil.STATUS_ZOMBIE:
                    found.append(each)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def said(self) -> str:
        return (self.out / 'up.txt').read_text(encoding='utf-8')

    def wait_for(self, predicate: Callable[[], Any], deadline_s: float, what: str) -> float:
        """Wait until something holds; return how long that took."""
        start = time.monotonic()
        while not predicate():
            assert time.monotonic() - start < deadline_s, f'not within {deadline_s:g} s: {what}\n{self.said()}'
            time.sleep(0.05)
        return time.monotonic() - start

    def wait_ready(self, deadline_s: float = START_S) -> None:
        self.wait_for(
            lambda: 'ready. In another' in self.said() or self.process.poll() is not None, deadline_s, 'ready'
        )
        assert self.process.poll() is None, self.said()

    def wait_gone(self, deadline_s: float = END_S) -> None:
        """Wait until nothing with the mark is left."""
        took_s = self.wait_for(lambda: self.process.poll() is not None and not self.all(), deadline_s, 'all ended')
        print(f'gone after {took_s:.1f} s')


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start ``gemma4 up --sim``; at the end kill what a failed test left."""
    started: list[Up] = []

    def start(*words: str) -> Up:
        mark = uuid.uuid4().hex
        line = [sys.executable, '-m', 'gemma4_ros.cli.main', 'up', '--sim', '--log-dir', str(tmp_path), *words]
        with (tmp_path / 'up.txt').open('wb') as file:
            process: subprocess.Popen[Any] = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, MARK: mark, 'XDG_STATE_HOME': str(tmp_path)},
            )  # fmt: skip
        started.append(Up(process, mark, tmp_path))
        return started[-1]

    yield start
    for each in started:
        for process in each.all():
            process.kill()
        each.process.wait(5.0)


@pytest.fixture(scope='session')
def open_room(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return what starts a stack with the real model and waits until it is warm."""
    from contextlib import contextmanager

    from gemma4_ros.cli.ros_session import RosSession
    from gemma4_ros.cli.up import Stack

    @contextmanager
    def enter(**options: Any) -> Iterator[Room]:
        out = tmp_path_factory.mktemp('stack')
        said: list[str] = []
        stack = Stack(sim=True, log_dir=out / 'logs', settings=settings_of(out), say=said.append, **options)
        with stack:
            stack.wait_ready(90.0)
            with RosSession(options.get('namespace', '')) as session:
                person = Person(session)
                warm = lambda: 'model' in person.last and person.last['model'].prefix_tokens > 0  # noqa: E731
                person.until(warm, WARM_S, f'the model is warm; {said}')
                yield Room(stack, person, out)
            pids = list(stack.pids.values())
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not any('did not end by itself' in line for line in said), said

    return enter


@pytest.fixture(scope='session')
def gemma4() -> Callable[..., subprocess.Popen[str]]:
    """Return what starts the command ``gemma4`` as its own process."""

    def start(*words: str, **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **options.pop('env', {})}
        options = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **options}
        return subprocess.Popen(
            [sys.executable, '-m', 'gemma4_ros.cli.main', *words], text=True, env=environment, cwd=ROOT, **options
        )

    return start
