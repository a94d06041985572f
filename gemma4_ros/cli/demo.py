# SPDX-License-Identifier: Apache-2.0
"""`gemma4 demo`: the whole stack with the simulated cell carries out one command, heard or typed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.action import ActionClient
from sensor_msgs.msg import CompressedImage

from gemma4_ros.action import Say
from gemma4_ros.cli.hear import publish_wav
from gemma4_ros.cli.paths import source_root
from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.cli.summary_page import animate, write_summary
from gemma4_ros.cli.up import Stack
from gemma4_ros.core.errors import ConfigError, NotRunningError
from gemma4_ros.msg import Reply, TreeState, TurnEvent, Utterance
from gemma4_ros.ros import images, qos
from gemma4_ros.srv import SetArmed

__all__ = ['run_demo']

ARM_DEADLINE_S = 30.0
ANSWER_DEADLINE_S = 240.0
FRAME_PERIOD_S = 0.5
NEXT = ('make demo SAY="close the main valve"', 'gemma4 up --sim, then gemma4 say "where is the filter?"', 'make test')


class _Watch:
    """What the demo sees of the stack."""

    def __init__(self, session: RosSession) -> None:
        self.replies: list[Any] = []
        self.events: list[Any] = []
        self.tree: Any = None
        self.frames: list[NDArray[np.uint8]] = []
        self._framed_at_s = 0.0
        node = session.node
        node.create_subscription(Reply, 'copilot/reply', self.replies.append, qos.LATCHED_HISTORY)
        node.create_subscription(TurnEvent, 'copilot/events', self._event, qos.LATCHED_HISTORY)
        node.create_subscription(TreeState, 'executor/tree', self._tree, qos.STATE_LATCHED)
        node.create_subscription(CompressedImage, 'camera/overview/image_raw/compressed', self._frame, qos.SIGNAL)

    def _event(self, event: Any) -> None:
        self.events.append(event)
        print(f'  {event.phase:9} {event.text}', flush=True)
        if event.phase == 'plan':
            for note in json.loads(event.data).get('notes', ()):
                print(f'            {note}', flush=True)

    def _tree(self, tree: Any) -> None:
        self.tree = tree

    def _frame(self, message: Any) -> None:
        if time.monotonic() - self._framed_at_s >= FRAME_PERIOD_S:
            self._framed_at_s = time.monotonic()
            self.frames.append(images.to_rgb(message))

    def data(self, phase: str) -> dict[str, Any]:
        """Return the data of the newest event of a phase."""
        found = [event for event in self.events if event.phase == phase]
        return dict(json.loads(found[-1].data)) if found else {}


def run_demo(say: str, wav: Path | None, out: Path) -> int:
    """
    Start everything, give one command, show what happens, leave a summary page.

    Parameters
    ----------
    say : str
        A typed command; empty: play `wav`, or the recording of the repository.
    wav : Path, optional
        A recording to play instead.
    out : Path
        Folder for the page, pictures and logs.

    Returns
    -------
    int
        0 carried out, 4 refused or asked back, 5 failed.

    """
    out.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    stack = Stack(sim=True, log_dir=out / 'logs')
    with stack:
        stack.wait_ready(180.0)
        with RosSession() as session:
            watch = _Watch(session)
            _arm(session)
            reply = _type(session, watch, say) if say else _speak(session, watch, wav)
    _page(out, watch, reply, say or 'the recorded command', time.monotonic() - started_s)
    print(f'\n{reply.text}\n\nThe run is told in {out / "index.html"}; logs lie in {out / "logs"}. Try next:')
    for line in NEXT:
        print(f'  {line}')
    return {Reply.KIND_INFO: 0, Reply.KIND_QUESTION: 4}.get(
        reply.kind, 4 if reply.code >= 600 or reply.code == 0 else 5
    )


def _arm(session: RosSession) -> None:
    """Arm the gate as the person who runs the demo."""
    end = time.monotonic() + ARM_DEADLINE_S
    while True:
        answer = session.call(SetArmed, 'gate/set_armed', SetArmed.Request(command=SetArmed.Request.ARM, person='demo'))
        if answer.accepted:
            print(f'  gate      {answer.text}', flush=True)
            return
        if time.monotonic() > end:
            raise NotRunningError(f'the gate does not arm: {answer.text}')
        session.until(lambda: False, 0.5)


def _type(session: RosSession, watch: _Watch, text: str) -> Any:
    reply = _turn(session, watch, text)
    if reply.kind == Reply.KIND_CONFIRM:
        print(f'\n{reply.text}\n  the demo confirms\n', flush=True)
        reply = _turn(session, watch, 'confirm')
    return reply


def _turn(session: RosSession, watch: _Watch, text: str) -> Any:
    client: Any = ActionClient(session.node, Say, 'copilot/say')
    before = len(watch.replies)
    if not session.until(client.server_is_ready, 10.0):
        raise NotRunningError('nobody serves copilot/say; look at the logs')
    utterance = Utterance(text=text, operator_id='demo', confidence=1.0)
    client.send_goal_async(Say.Goal(utterance=utterance, conversation_id='demo'))
    return _reply(session, watch, before)


def _speak(session: RosSession, watch: _Watch, wav: Path | None) -> Any:
    root = source_root()
    if root is None and wav is None:
        raise ConfigError('the recordings are in the source tree only; give one with --wav, or a text with --say')
    folder = (root or Path()) / 'demo'
    before = len(watch.replies)
    publish_wav(wav or folder / 'command.wav', session.node)
    reply = _reply(session, watch, before)
    if reply.kind == Reply.KIND_CONFIRM and root is not None:
        print(f'\n{reply.text}\n  the demo plays its spoken answer\n', flush=True)
        before = len(watch.replies)
        publish_wav(folder / 'confirm.wav', session.node)
        reply = _reply(session, watch, before)
    return reply


def _reply(session: RosSession, watch: _Watch, before: int) -> Any:
    if not session.until(lambda: len(watch.replies) > before, ANSWER_DEADLINE_S):
        raise NotRunningError(f'no reply within {ANSWER_DEADLINE_S:g} s; look at the logs')
    session.until(lambda: False, 0.5)
    return watch.replies[-1]


def _page(out: Path, watch: _Watch, reply: Any, command: str, duration_s: float) -> None:
    heard = [event.text for event in watch.events if event.phase == 'heard']
    plan, verdict = watch.data('plan'), watch.data('verdict')
    report: dict[str, Any] = {
        'command': heard[0] if heard else command,
        'transcript': heard[0] if heard else '',
        'duration_s': duration_s,
        'outcome': {'ok': reply.kind == Reply.KIND_INFO, 'text': reply.text},
        'draft': plan.get('draft'),
        'plan': plan.get('plan'),
        'verdicts': [{**step, 'step_id': step['step']} for step in verdict.get('steps', ())],
        'tree': _rows(watch.tree),
        'results': [{'step_id': k, 'values': v} for k, v in watch.data('result').get('results', {}).items()],
        'next': list(NEXT),
    }
    if watch.frames:
        report['animation'] = animate(watch.frames, out / 'cell.webp').name
    write_summary(out, report)


def _rows(tree: Any) -> list[dict[str, Any]]:
    if tree is None:
        return []
    names = ('id', 'parent_id', 'kind', 'label', 'status', 'attempt', 'duration_s', 'code', 'text')
    return [{name: getattr(row, name) for name in names} for row in tree.nodes]
