# SPDX-License-Identifier: Apache-2.0
"""``gemma4 stop``, ``pause``, ``resume``, ``status``: no model is asked."""

from __future__ import annotations

import getpass
from functools import partial
from typing import Annotated, Any

import typer

from gemma4_ros.cli.console_output import REFUSED, note, show, show_json
from gemma4_ros.cli.environment import ensure_ros_environment
from gemma4_ros.core.errors import NotRunningError

__all__ = ['pause', 'resume', 'status', 'stop']

CONFIRM_S = 2.0
LISTEN_S = 2.0
_START = 'start the stack with: gemma4 up'
Namespace = Annotated[str, typer.Option('--namespace', help='of the robot')]


def stop(
    reason: Annotated[str, typer.Option('--reason', help='shown and recorded')] = 'somebody typed gemma4 stop',
    namespace: Namespace = '',
) -> None:
    """Stop everything now; a person has to reset the gate afterwards. Example: gemma4 stop"""
    ensure_ros_environment()
    from gemma4_ros.cli.ros_session import RosSession
    from gemma4_ros.msg import DeadmanState, GateState, StopRequest
    from gemma4_ros.ros import qos

    with RosSession(namespace) as ros:
        seen: dict[str, Any] = {}
        node = ros.node
        stopped = {
            'gate': lambda: 'gate' in seen and seen['gate'].state == GateState.STOPPED,
            'deadman': lambda: (
                'deadman' in seen and seen['deadman'].state in (DeadmanState.CANCELLING, DeadmanState.TRIPPED)
            ),
        }
        node.create_subscription(GateState, 'gate/state', lambda m: seen.update(gate=m), qos.STATE_LATCHED)
        node.create_subscription(DeadmanState, 'deadman/state', lambda m: seen.update(deadman=m), qos.STATE_LATCHED)
        request = StopRequest(
            stamp=node.get_clock().now().to_msg(), source=f'terminal of {getpass.getuser()}'[:64], reason=reason[:256]
        )
        publishers = {name: node.create_publisher(StopRequest, f'{name}/stop', qos.STOP) for name in stopped}
        sent: set[str] = set()

        def all_stopped() -> bool:
            for name, publisher in publishers.items():  # one that is discovered late gets it late rather than never
                if name not in sent and publisher.get_subscription_count():
                    publisher.publish(request)
                    sent.add(name)
            return all(is_stopped() for is_stopped in stopped.values())

        ros.until(all_stopped, CONFIRM_S)
        confirmed = [name for name, is_stopped in stopped.items() if is_stopped()]
    if not confirmed:
        raise NotRunningError(
            f'neither gate nor deadman confirmed the stop within {CONFIRM_S:g} s: use the emergency stop'
        )
    show(f'stopped: {" and ".join(confirmed)}')
    for name in set(stopped) - set(confirmed):
        note(f'the {name} did not confirm within {CONFIRM_S:g} s')
    note('when it is safe: gemma4 gate reset, then gemma4 gate arm')


def pause(namespace: Namespace = '') -> None:
    """Start no further step of the running plan, and end those whose tool says so. Example: gemma4 pause"""
    _trigger('executor/pause', namespace)


def resume(namespace: Namespace = '') -> None:
    """Let a paused plan go on. Example: gemma4 resume"""
    _trigger('executor/resume', namespace)


def _trigger(service: str, namespace: str) -> None:
    ensure_ros_environment()
    from std_srvs.srv import Trigger

    from gemma4_ros.cli.ros_session import RosSession

    with RosSession(namespace) as ros:
        answer = ros.call(Trigger, service, Trigger.Request())
    if not answer.success:
        note(answer.message)
        raise typer.Exit(REFUSED)
    show(answer.message or service.rpartition('/')[2] + 'd')


def status(
    as_json: Annotated[bool, typer.Option('--json', help='one JSON document on standard output')] = False,
    namespace: Namespace = '',
) -> None:
    """Say what gate, deadman, model and plan are doing. Exit 6 where nothing runs. Example: gemma4 status --json"""
    ensure_ros_environment()
    from gemma4_ros.cli.ros_session import RosSession
    from gemma4_ros.msg import DeadmanState, GateState, ModelStatus, TreeState
    from gemma4_ros.ros import qos
    from gemma4_ros.ros.convert import to_json

    kinds = {
        'gate': (GateState, 'gate/state', ('DISARMED', 'ARMED', 'ACTIVE', 'HOLD', 'STOPPED')),
        'deadman': (DeadmanState, 'deadman/state', ('WATCHING', 'WAITING', 'CANCELLING', 'TRIPPED')),
        'model': (ModelStatus, 'gemma/status', ('ABSENT', 'LOADING', 'READY', 'BUSY', 'CRASHED')),
        'plan': (TreeState, 'executor/tree', ('RUNNING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    }
    seen: dict[str, Any] = {}
    with RosSession(namespace) as ros:
        for key, (kind, topic, _) in kinds.items():
            ros.node.create_subscription(kind, topic, partial(seen.__setitem__, key), qos.STATE_LATCHED)
        ros.until(lambda: len(seen) == len(kinds), LISTEN_S)
        ros.until(lambda: {'gate', 'deadman', 'model'} <= set(seen), LISTEN_S if seen else 0.0)
    document: dict[str, Any] = {}
    for key, (_, _, names) in kinds.items():
        if key in seen:
            number = seen[key].status if key == 'plan' else seen[key].state
            name = names[number] if number < len(names) else str(number)
            document[key] = {**to_json(seen[key]), 'state_name': name}
    if as_json:
        show_json(document)
    else:
        for key in kinds:
            show(f'{key:<8} {_line(key, document.get(key))}')
    if not document:
        raise NotRunningError(f'nothing of the stack runs here: {_START}')


def _line(key: str, state: dict[str, Any] | None) -> str:
    if state is None:
        return 'none yet' if key == 'plan' else 'not running'
    if key == 'plan':
        return f'{state["state_name"]} {state["permit_id"]}'.rstrip()
    remark = state.get('reason', '') if key == 'deadman' else state.get('text', '')
    name = f'{state["model"]} ' if key == 'model' else ''
    return f'{name}{state["state_name"]} {remark}'.rstrip()
