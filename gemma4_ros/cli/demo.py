# SPDX-License-Identifier: Apache-2.0
"""`gemma4 demo`: the whole stack with the simulated cell carries out one command, heard or typed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.action import ActionClient
from sensor_msgs.msg import CompressedImage

from gemma4_ros.action import Say
from gemma4_ros.cli.console_output import note
from gemma4_ros.cli.hear import publish_wav
from gemma4_ros.cli.paths import source_root
from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.cli.summary_page import animate, write_summary
from gemma4_ros.cli.up import Stack
from gemma4_ros.core.errors import ConfigError, NotRunningError
from gemma4_ros.msg import ModelStatus, Reading, Reply, TreeState, TurnEvent, Utterance
from gemma4_ros.ros import images, qos
from gemma4_ros.srv import SetArmed

__all__ = ['run_demo']

NAMESPACE = 'demo'
ARM_DEADLINE_S = 30.0
WARM_DEADLINE_S = 300.0
ANSWER_DEADLINE_S = 240.0
FRAME_PERIOD_S = 0.5
NEXT = ('make demo SAY="close the main valve"', 'gemma4 up --sim, then gemma4 say "where is the filter?"', 'make test')


@dataclass(frozen=True, slots=True)
class _Files:
    """What a run leaves, all below one folder."""

    out: Path

    def prepare(self) -> None:
        """Make the folder and take away what an earlier run left in it."""
        for name in ('logs', 'audit', 'evidence'):
            shutil.rmtree(self.out / name, ignore_errors=True)
        for name in ('recording.mcap', 'cell.webp', 'index.html'):
            (self.out / name).unlink(missing_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)

    def settings(self, speed: float) -> dict[str, dict[str, str]]:
        """Return the parameters of the nodes that write into the folder."""
        out = self.out.resolve()
        return {
            'cell': {'speed': f'{float(speed)}'},
            'gate': {'audit_dir': str(out / 'audit')},
            'perception': {'evidence_dir': str(out / 'evidence')},
            'recorder': {'file': str(out / 'recording.mcap')},
        }

    def named(self, pattern: str) -> str:
        """Return the newest file of a pattern, as a name below the folder; '' where there is none."""
        found = sorted(self.out.glob(pattern))
        return found[-1].relative_to(self.out).as_posix() if found else ''

    def evidence_of(self, sha256: str) -> str:
        """Return the picture with these pixels."""
        is_hash = sha256.isascii() and sha256.isalnum()  # it comes in a message, and names a file here
        return self.named(f'evidence/*{sha256[:12]}*') if is_hash else ''


class _Watch:
    """What the demo sees of the stack."""

    def __init__(self, session: RosSession, began_s: float) -> None:
        self.replies: list[Any] = []
        self.events: list[Any] = []
        self.readings: list[Any] = []
        self.tree: Any = None
        self.model: Any = None
        self._began_s = began_s
        self.frames: list[NDArray[np.uint8]] = []
        self._framed_at_s = 0.0
        node = session.node
        node.create_subscription(Reply, 'copilot/reply', self.replies.append, qos.LATCHED_HISTORY)
        node.create_subscription(TurnEvent, 'copilot/events', self._event, qos.LATCHED_HISTORY)
        node.create_subscription(Reading, 'perception/readings', self.readings.append, qos.EVENTS)
        node.create_subscription(TreeState, 'executor/tree', self._tree, qos.STATE_LATCHED)
        node.create_subscription(ModelStatus, 'gemma/status', self._status, qos.STATE_LATCHED)
        node.create_subscription(CompressedImage, 'camera/overview/image_raw/compressed', self._frame, qos.SIGNAL)

    def _event(self, event: Any) -> None:
        self.events.append(event)
        if event.text:
            self.tell(event.phase, event.text)
        if event.phase == 'plan':
            for remark in json.loads(event.data).get('notes', ()):
                print(f'{"":19}{remark}', flush=True)

    def tell(self, phase: str, text: str) -> None:
        """Print what happened, with the seconds since the start; further lines stand below the first."""
        lines = text.replace('\n', f'\n{"":19}')
        print(f'{time.monotonic() - self._began_s:6.1f} s {phase:9} {lines}', flush=True)

    def _tree(self, tree: Any) -> None:
        self.tree = tree

    def _status(self, status: Any) -> None:
        self.model = status

    @property
    def is_warm(self) -> bool:
        """Say whether the model has read the constant part of the prompt."""
        return self.model is not None and self.model.prefix_tokens > 0

    def _frame(self, message: Any) -> None:
        if time.monotonic() - self._framed_at_s >= FRAME_PERIOD_S:
            self._framed_at_s = time.monotonic()
            self.frames.append(images.to_rgb(message))

    def data(self, phase: str) -> dict[str, Any]:
        """Return the data of the newest event of a phase."""
        found = [event for event in self.events if event.phase == phase]
        return dict(json.loads(found[-1].data)) if found else {}


def run_demo(say: str, wav: Path | None, out: Path, speed: float = 1.0) -> int:
    """
    Start everything, give one command, show what happens, leave a summary page.

    Parameters
    ----------
    say : str
        A typed command; empty: play `wav`, or the recording of the repository.
    wav : Path, optional
        A recording to play instead.
    out : Path
        Folder for the page, pictures, recording, audit log and logs; what an earlier run left there goes.
    speed : float
        Simulated seconds a second, 0.1 to 20.

    Returns
    -------
    int
        0 carried out, 4 refused or asked back, 5 failed.

    """
    files = _Files(out)
    files.prepare()
    began_s = time.monotonic()
    note(f'starting the stack and the simulated cell (speed {speed:g}); logs lie in {out / "logs"}')
    # a namespace of its own: what arms and confirms here must never be the gate of a robot on the same network
    options: dict[str, Any] = {'settings': files.settings(speed), 'say': _starting(began_s), 'namespace': NAMESPACE}
    stack = Stack(sim=True, log_dir=out / 'logs', **options)
    with stack:
        stack.wait_ready(180.0)
        with RosSession(NAMESPACE) as session:
            watch = _Watch(session, began_s)
            demo = _Demo(stack, session, watch)
            demo.warm()
            demo.arm()
            reply = demo.type(say) if say else demo.speak(wav)
    _page(files, watch, reply, say or 'the recorded command', time.monotonic() - began_s)
    print(f'\n{reply.text}\n\nThe run is told in {out / "index.html"}, beside it lie recording, audit log and logs.')
    print('Try next:')
    for line in NEXT:
        print(f'  {line}')
    return {Reply.KIND_INFO: 0, Reply.KIND_QUESTION: 4}.get(
        reply.kind, 4 if reply.code >= 600 or reply.code == 0 else 5
    )


def _starting(began_s: float) -> Any:
    return lambda text: note(f'{time.monotonic() - began_s:6.1f} s {text}')


class _Demo:
    """The person at the terminal: waits, arms, commands, confirms."""

    def __init__(self, stack: Stack, session: RosSession, watch: _Watch) -> None:
        self._stack, self._session, self._watch = stack, session, watch

    def _until(self, predicate: Callable[[], bool], deadline_s: float) -> bool:
        """Spin until something holds; raise where the stack cannot go on."""
        end = time.monotonic() + deadline_s
        while not predicate():
            if time.monotonic() > end:
                return False
            self._session.spin()
            self._stack.poll()
        return True

    def warm(self) -> None:
        """Wait until the model has read the constant part of the prompt; the first time takes a minute."""
        if not self._until(lambda: self._watch.is_warm, 3.0):
            self._watch.tell('model', 'reads what it is told about this robot; that takes a minute the first time')
        if not self._until(lambda: self._watch.is_warm, WARM_DEADLINE_S):
            raise NotRunningError(
                f'the model has not read its prompt within {WARM_DEADLINE_S:g} s; look at planner.log'
            )
        self._watch.tell('model', f'{self._watch.model.model} is warm: {self._watch.model.prefix_tokens} tokens kept')

    def arm(self) -> None:
        """Arm the gate as the person who runs the demo."""
        request = SetArmed.Request(command=SetArmed.Request.ARM, person='demo')
        end = time.monotonic() + ARM_DEADLINE_S
        while True:
            answer = self._session.call(SetArmed, 'gate/set_armed', request, again_s=1.5)
            if answer.accepted:
                self._watch.tell('gate', answer.text)
                return
            if time.monotonic() > end:
                raise NotRunningError(f'the gate does not arm: {answer.text}')
            self._until(lambda: False, 0.5)

    def type(self, text: str) -> Any:
        """Give a typed command and confirm it where that is asked for; return the reply."""
        reply = self._turn(text)
        if reply.kind == Reply.KIND_CONFIRM:
            self._watch.tell('demo', 'confirms')
            reply = self._turn('confirm')
        return reply

    def speak(self, wav: Path | None) -> Any:
        """Play a spoken command and, where that is asked for, the spoken answer of the repository; return the reply."""
        root = source_root()
        if root is None and wav is None:
            raise ConfigError('the recordings are in the source tree only; give one with --wav, or a text with --say')
        folder = (root or Path()) / 'demo'
        reply = self._play(wav or folder / 'command.wav')
        if reply.kind == Reply.KIND_CONFIRM and root is not None:
            reply = self._play(folder / 'confirm.wav')
        return reply

    def _play(self, path: Path) -> Any:
        before = len(self._watch.replies)
        self._watch.tell('demo', f'plays {path.name}')
        publish_wav(path, self._session.node)
        return self._reply(before)

    def _turn(self, text: str) -> Any:
        client: Any = ActionClient(self._session.node, Say, 'copilot/say')
        before = len(self._watch.replies)
        if not self._until(client.server_is_ready, 10.0):
            raise NotRunningError('nobody serves copilot/say; look at the logs')
        utterance = Utterance(text=text, operator_id='demo', confidence=1.0)
        client.send_goal_async(Say.Goal(utterance=utterance, conversation_id='demo'))
        return self._reply(before)

    def _reply(self, before: int) -> Any:
        if not self._until(lambda: len(self._watch.replies) > before, ANSWER_DEADLINE_S):
            raise NotRunningError(f'no reply within {ANSWER_DEADLINE_S:g} s; look at the logs')
        self._until(lambda: False, 0.5)
        return self._watch.replies[-1]


def _page(files: _Files, watch: _Watch, reply: Any, command: str, duration_s: float) -> None:
    heard = [event.text for event in watch.events if event.phase == 'heard']
    plan, verdict = watch.data('plan'), watch.data('verdict')
    report: dict[str, Any] = {
        'command': heard[0] if heard else command,
        'transcript': heard[0] if heard else '',
        'model': watch.model.model if watch.model is not None else '',
        'duration_s': round(duration_s, 1),
        'outcome': {'ok': reply.kind == Reply.KIND_INFO, 'text': reply.text},
        'draft': plan.get('draft'),
        'plan': plan.get('plan'),
        'verdicts': [{**step, 'step_id': step['step']} for step in verdict.get('steps', ())],
        'tree': _rows(watch.tree),
        'results': [
            {'step_id': step_id, 'tool': _label(watch.tree, step_id), 'values': values}
            for step_id, values in watch.data('result').get('results', {}).items()
        ],
        'readings': [_reading(reading, files) for reading in watch.readings],
        'recording': files.named('recording.mcap'),
        'audit': files.named('audit/*.jsonl'),
        'pictures': [],
        'next': list(NEXT),
    }
    if watch.frames:
        report['animation'] = animate(watch.frames, files.out / 'cell.webp').name
    write_summary(files.out, report)


def _reading(reading: Any, files: _Files) -> dict[str, Any]:
    names = ('name', 'status', 'value', 'low', 'high', 'unit', 'confidence', 'method', 'reason', 'image_sha256')
    return {
        **{name: getattr(reading, name) for name in names},
        'image': files.evidence_of(reading.image_sha256),
    }


def _label(tree: Any, step_id: str) -> str:
    return next((node.label for node in tree.nodes if node.id == step_id), '') if tree is not None else ''


def _rows(tree: Any) -> list[dict[str, Any]]:
    if tree is None:
        return []
    names = ('id', 'parent_id', 'kind', 'label', 'status', 'attempt', 'duration_s', 'code', 'text')
    return [{name: getattr(row, name) for name in names} for row in tree.nodes]
