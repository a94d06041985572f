# SPDX-License-Identifier: Apache-2.0
"""``gemma4 say`` and ``gemma4 hear``: one turn with the running stack."""

from __future__ import annotations

import getpass
import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma4_ros.cli.console_output import (
    DONE,
    FAILED,
    INTERRUPTED,
    NEEDS_APPROVAL,
    NOT_RUNNING,
    REFUSED,
    note,
    show,
    show_json,
)
from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.core.errors import NotRunningError

if TYPE_CHECKING:
    from gemma4_ros.cli.ros_session import RosSession

__all__ = ['Talk', 'hear', 'say']

FIND_S, ANSWER_S, CANCEL_S = 10.0, 3.0, 10.0
TRIES = 3
Tell = Callable[[str, str], None]
_EXIT = (DONE, DONE, NEEDS_APPROVAL, REFUSED, FAILED, NOT_RUNNING)
"""By Say.Goal: done, needs an answer, needs approval, refused, failed, not running."""


class Talk:
    """A client of the copilot in an open session."""

    def __init__(self, ros: RosSession, person: str, tell: Tell) -> None:
        from rclpy.action import ActionClient

        from gemma4_ros.action import Say

        self._ros, self._person, self._tell = ros, person, tell
        self._say, self._client = Say, ActionClient(ros.node, Say, 'copilot/say')

    def say(self, text: str, deadline_s: float) -> Any:
        """Say one thing and return the result; Ctrl-C cancels it, waits for its end, and goes on upwards."""
        if not self._ros.until(self._client.server_is_ready, FIND_S):
            raise NotRunningError('nobody serves copilot/say; start the stack with: gemma4 up')
        goal = self._say.Goal()
        goal.utterance.text, goal.utterance.operator_id, goal.utterance.confidence = text[:10000], self._person, 1.0
        goal.utterance.header.stamp = self._ros.node.get_clock().now().to_msg()
        handle: Any = None
        try:
            handle = self._send(goal)
            result = handle.get_result_async()
            if self._ros.until(result.done, deadline_s):
                return result.result().result
        except KeyboardInterrupt:
            self._cancel(handle)
            raise
        self._cancel(handle)
        raise NotRunningError(f'no result within {deadline_s:g} s; the command was cancelled')

    def _feedback(self, message: Any) -> None:
        self._tell(message.feedback.phase, message.feedback.text)

    def _send(self, goal: Any) -> Any:
        """
        Send a goal and return its handle.

        An answer gets lost while a server has not found its new client yet, though the goal was taken. So the goal is
        sent again under the same id: the server refuses what it has already.
        """
        from rclpy.action.client import ClientGoalHandle
        from unique_identifier_msgs.msg import UUID

        goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        sent = []
        try:
            while len(sent) < TRIES and not any(each.done() for each in sent):
                sent.append(self._client.send_goal_async(goal, feedback_callback=self._feedback, goal_uuid=goal_id))
                self._ros.until(sent[-1].done, ANSWER_S)
        except KeyboardInterrupt:
            self._ros.until(sent[-1].done, CANCEL_S)
            self._cancel(sent[-1].result() if sent[-1].done() else None)
            raise
        answered = next((each.result() for each in sent if each.done()), None)
        if answered is None:
            raise NotRunningError(
                f'the copilot does not take the command within {TRIES * ANSWER_S:g} s; look at its log'
            )
        if answered.accepted or len(sent) == 1:
            return answered
        known = self._client._action_type.Impl.SendGoalService.Response(accepted=True)
        return ClientGoalHandle(self._client, goal_id, known)

    def _cancel(self, handle: Any) -> None:
        if handle is None or not handle.accepted:
            return
        note('cancelling')
        asked = handle.cancel_goal_async()
        ended = handle.get_result_async()
        if not self._ros.until(lambda: bool(asked.done() and ended.done()), CANCEL_S):
            note('the copilot did not confirm that it was cancelled: gemma4 stop')

    def close(self) -> None:
        """End the client."""
        self._client.destroy()


def say(
    text: Annotated[str, typer.Argument(help='a command or question')],
    yes: Annotated[bool, typer.Option('--yes', help='confirm what is read back, for scripts')] = False,
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
    person: Annotated[str, typer.Option('--person', envvar='GEMMA4_PERSON', help='who you are')] = '',
    namespace: Annotated[str, typer.Option('--namespace', help='of the robot')] = '',
    deadline: Annotated[float, typer.Option('--deadline', help='longest time for all of it, s')] = 900.0,
) -> None:
    """Say TEXT to the running stack; exit 3: needs approval, 4: refused. Example: gemma4 say "dock" """
    ensure_ros_environment()
    from gemma4_ros.action import Say
    from gemma4_ros.cli.ros_session import RosSession

    with RosSession(namespace) as ros:
        talk = Talk(ros, (person or getpass.getuser())[:64], _tell)
        try:
            result = talk.say(text, deadline)
            if result.outcome == Say.Goal.NEEDS_APPROVAL:
                answer = _answer(result.text, yes)
                result = talk.say(answer, deadline) if answer else result
        except KeyboardInterrupt:
            note('interrupted; the command was cancelled')
            raise typer.Exit(INTERRUPTED) from None
        finally:
            talk.close()
    _show(result, as_json)
    raise typer.Exit(_EXIT[result.outcome] if result.outcome < len(_EXIT) else FAILED)


def _tell(phase: str, text: str) -> None:
    note(f'{phase}: {text}')


def _answer(rendering: str, yes: bool) -> str:
    """Return what to answer to a read-back: confirm, cancel, or nothing where nobody can be asked."""
    note(rendering)
    if yes:
        return 'confirm'
    if not sys.stdin.isatty():
        note('nobody can be asked here: run it in a terminal, or with --yes')
        return ''
    note('Do it? [y/N] ')
    return 'confirm' if sys.stdin.readline().strip().lower() in ('y', 'yes') else 'cancel'


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        names = ('done', 'needs_answer', 'needs_approval', 'refused', 'failed', 'not_running')
        show_json(
            {
                'outcome': names[result.outcome],
                'code': result.code,
                'text': result.text,
                'choices': list(result.choices),
                'plan_sha256': result.plan_sha256,
                'approval_id': result.approval_id,
                'results': json.loads(result.results or '{}'),
            }
        )
        return
    show(f'{result.text} [{result.code}]' if result.code else result.text)
    for choice in result.choices:
        show(f'  - {choice}')


def hear(
    wav: Annotated[Path, typer.Argument(help='WAV, FLAC or OGG of at most 60 s')],
    speed: Annotated[float, typer.Option('--speed', help='1: as fast as it was spoken')] = 1.0,
    quiet: Annotated[float, typer.Option('--quiet', help='ends so long after the last turn, s')] = 20.0,
    namespace: Annotated[str, typer.Option('--namespace', help='of the robot')] = '',
) -> None:
    """Play WAV to the running stack and show its replies. Exit 5 where none came. Example: gemma4 hear command.wav"""
    ensure_ros_environment()
    from gemma4_ros.cli.hear import publish_wav, read_wav
    from gemma4_ros.cli.ros_session import RosSession
    from gemma4_ros.msg import Reply, TurnEvent, Utterance
    from gemma4_ros.ros import qos

    read_wav(wav)  # what is wrong with the file is said before anything starts
    heard, replies = [time.monotonic()], 0
    going_on: set[str] = set()  # conversations whose turn has begun and not ended

    with RosSession(namespace) as ros:
        began_ns = ros.node.get_clock().now().nanoseconds

        def is_new(stamp: Any) -> bool:
            heard[0] = time.monotonic()
            return bool(stamp.sec * 10**9 + stamp.nanosec >= began_ns)

        def reply(message: Reply) -> None:
            nonlocal replies
            if is_new(message.header.stamp):
                replies += 1
                show(message.text)

        def event(message: TurnEvent) -> None:
            if is_new(message.stamp):
                note(f'{message.phase}: {message.text}')
                if message.phase == 'heard':
                    going_on.add(message.conversation_id)
                elif message.phase == 'result':
                    going_on.discard(message.conversation_id)

        ros.node.create_subscription(Reply, 'copilot/reply', reply, qos.LATCHED_HISTORY)
        ros.node.create_subscription(TurnEvent, 'copilot/events', event, qos.LATCHED_HISTORY)
        ros.node.create_subscription(Utterance, 'speech/utterance', lambda m: note(f'heard: {m.text}'), qos.EVENTS)
        length_s = publish_wav(wav, ros.node, speed=speed)
        note(f'played {length_s:.1f} s')
        heard[0] = time.monotonic()
        ros.until(lambda: not going_on and time.monotonic() - heard[0] > quiet, 3600.0)
    raise typer.Exit(DONE if replies else FAILED)
