# SPDX-License-Identifier: Apache-2.0
"""One running stack with the real model and the simulated cell: from what is said to what really happened."""

from __future__ import annotations

import json
import math
import os
import pty
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

from gemma4_ros.action import Say
from gemma4_ros.msg import GateState, Reply, TreeState

from gemma4_ros.core.errors import BusyError, CommandError
from gemma4_ros.core.gate.audit_verify import verify

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
VOICES = ROOT / 'test' / 'data' / 'voices'
MOVED_M = 0.05
TURN_S = 120.0
GOAL = Say.Goal


@pytest.fixture(scope='module')
def room(open_room: Callable[..., Any]) -> Iterator[Any]:
    with open_room() as room:
        yield room


@pytest.fixture
def person(room: Any) -> Iterator[Any]:
    room.person.arm()
    yield room.person
    room.person.finish()


def moved(person: Any, start: tuple[float, float]) -> float:
    return math.dist(start, person.where())


def test_a_typed_command_ends_in_a_reading_that_is_true(room: Any, person: Any) -> None:
    result = person.say('go to the pump and read the pressure gauge')
    facts = person.facts()
    assert (result.outcome, result.code) == (GOAL.DONE, 0), result.text
    assert facts['at', 'robot'] == 'pump'
    values = [entry['value'] for entry in json.loads(result.results).values() if 'value' in entry]
    assert len(values) == 1
    assert abs(values[0] - float(facts['pressure_bar', 'pump'])) < 0.15
    assert f'{values[0]:.2f} bar' in result.text
    person.until(lambda: person.readings, 5.0, 'the reading is published')
    assert person.readings[-1].name == 'pressure_gauge' and person.readings[-1].low <= values[0]
    assert (room.out / 'recording.mcap').stat().st_size > 10_000
    assert list((room.out / 'evidence').iterdir())
    (log,) = (room.out / 'audit').glob('*.jsonl')
    with log.open('rb') as file:
        report = verify(file)
    assert report.problem == '' and report.records > 5
    assert result.plan_sha256 in log.read_text(encoding='utf-8')


def test_a_spoken_command_is_read_back_confirmed_aloud_and_done(person: Any) -> None:
    start, before = person.where(), person.facts()
    reply = person.play(ROOT / 'demo' / 'command.wav')
    assert reply.kind == Reply.KIND_CONFIRM, reply.text
    assert 'red toolbox' in reply.text and 'valve station' in reply.text and '"confirm"' in reply.text
    assert list(reply.choices) == ['confirm', 'cancel']
    assert moved(person, start) < MOVED_M and person.facts()['at', 'red_toolbox'] == before['at', 'red_toolbox']
    reply = person.play(ROOT / 'demo' / 'confirm.wav')
    facts = person.facts()
    assert (reply.kind, reply.code) == (Reply.KIND_INFO, 0), reply.text
    assert facts['at', 'red_toolbox'] == 'valve_station' and facts['holding', 'robot'] == 'nothing'
    assert 'bar' in reply.text


def test_of_two_commands_at_once_one_is_done_and_one_refused(person: Any) -> None:
    asked = person.say('close the main valve', 'ben')
    assert asked.outcome == GOAL.NEEDS_APPROVAL, asked.text
    first, second = person.send('go to the storage', 'anna'), person.send('confirm', 'ben')
    refused = person.result(second, 20.0)
    assert (refused.outcome, refused.code) == (GOAL.REFUSED, BusyError.code), refused.text
    assert 'busy with "go to the storage"' in refused.text
    result = person.result(first)
    facts = person.facts()
    assert result.outcome == GOAL.DONE, result.text
    assert facts['at', 'robot'] == 'storage' and facts['valve', 'main_valve'] == 'open'
    assert person.say('no', 'ben').text == 'Cancelled. Nothing was done.'  # what was read back to him was still open


@pytest.mark.parametrize(
    'text',
    ['open and close the main valve at the same time', 'go to the pump but do not go to the pump'],
)
def test_a_contradiction_is_asked_about_or_refused(person: Any, text: str) -> None:
    start, before = person.where(), person.facts()
    result = person.say(text, 'dora')
    assert len(result.text) > 15 and result.results == '{}'
    if result.outcome == GOAL.NEEDS_APPROVAL:  # read back, and a person says no
        assert person.say('no', 'dora').text == 'Cancelled. Nothing was done.'
    assert moved(person, start) < MOVED_M
    assert person.facts()['valve', 'main_valve'] == before['valve', 'main_valve']


def test_what_is_not_there_is_named(person: Any) -> None:
    start = person.where()
    result = person.say('take the ladder to the roof', 'dora')
    assert result.outcome in (GOAL.NEEDS_ANSWER, GOAL.REFUSED), result.text
    assert 'ladder' in result.text or 'roof' in result.text, result.text
    assert moved(person, start) < MOVED_M


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('', 'empty'),
        (' \t\n ', 'empty'),
        ('go to the pump ' * 667, 'at most 1000'),
        ('go to the \x1b[2Jpump', 'control'),
        ('go to the \u202epump', 'control'),
        ('fahre bitte sofort zur Pumpe hinueber', 'English'),
    ],
    ids=['empty', 'blank', 'long', 'escape', 'bidi', 'german'],
)
def test_a_text_that_cannot_be_taken_gets_a_clear_sentence(person: Any, text: str, says: str) -> None:
    start = person.where()
    result = person.say(text[:10_000], 'emil')
    assert result.outcome == GOAL.REFUSED, result.text
    assert (result.code, says in result.text) == (CommandError.code, True), f'{result.code}: {result.text}'
    assert moved(person, start) < MOVED_M


def test_stop_said_aloud_stands_within_two_seconds(person: Any) -> None:
    from gemma4_ros.cli.hear import TAIL_S, publish_wav

    before, trees = person.where(), len(person.trees)
    driving = person.send('go to the valve station')
    person.until(lambda: moved(person, before) > 0.5 or driving.done(), TURN_S, 'it drives')
    times: dict[str, float] = {}

    def look(played_s: float, total_s: float) -> None:
        if played_s >= total_s - TAIL_S - 0.3:  # the clip ends with 0.3 s of silence
            times.setdefault('said', time.monotonic())
        person.session.until(lambda: False, 0.02)
        ended = any(tree.status in (TreeState.FAILED, TreeState.CANCELLED) for tree in person.trees[trees + 1 :])
        if person.state('gate') == GateState.STOPPED and ended and person.speed() < 0.02:
            times.setdefault('stands', time.monotonic())

    publish_wav(VOICES / 'stop.wav', person.node, on_progress=look)
    result = person.result(driving, 5.0)
    look(math.inf, 0.0)
    assert result.outcome == GOAL.FAILED, result.text
    assert 'stop' in result.text
    assert times['stands'] - times['said'] < 2.0
    assert person.facts()['at', 'robot'] == 'nowhere'
    # the recogniser says stop once more, later; not at all where it took too long, so this is waited for, not asserted
    person.session.until(lambda: any(stop.source == 'speech' for stop in person.stops), 12.0)
    print(f'stands {times["stands"] - times["said"]:.2f} s after the word')


def test_ctrl_c_on_say_cancels_what_it_started(person: Any, gemma4: Callable[..., Any]) -> None:
    before, trees = person.where(), len(person.trees)
    far = 'storage' if before[0] > 0.0 else 'pump'
    saying = gemma4('say', f'go to the {far}', '--person', 'anna')
    person.until(lambda: moved(person, before) > 0.5 or saying.poll() is not None, TURN_S, 'it drives')
    saying.send_signal(signal.SIGINT)
    person.until(lambda: saying.poll() is not None, 10.0, 'gemma4 say ends')
    shown, told = saying.communicate()
    assert (saying.returncode, 'the command was cancelled' in told) == (130, True), shown + told
    person.until(lambda: person.speed() < 0.02, 2.0, 'it stands')
    assert person.trees[-1].status == TreeState.CANCELLED and len(person.trees) > trees
    assert person.facts()['at', 'robot'] == 'nowhere' and person.state('gate') == GateState.ARMED


def test_say_yes_does_it_and_no_does_not(person: Any, gemma4: Callable[..., Any]) -> None:
    start = person.where()
    leader, follower = pty.openpty()
    try:
        no = gemma4('say', 'close the main valve', '--person', 'carl', stdin=follower)
        os.write(leader, b'n\n')
        person.until(lambda: no.poll() is not None, TURN_S, 'gemma4 say ends')
        shown, told = no.communicate()
    finally:
        os.close(leader)
        os.close(follower)
    assert no.returncode == 4, told
    assert 'turn a valve closed: valve = main valve' in told and 'Do it? [y/N]' in told and 'Nothing was done' in shown
    assert moved(person, start) < MOVED_M and person.facts()['valve', 'main_valve'] == 'open'

    yes = gemma4('say', 'close the main valve', '--person', 'carl', '--yes', '--json')
    person.until(lambda: yes.poll() is not None, TURN_S, 'gemma4 say --yes ends')
    shown, told = yes.communicate()
    assert yes.returncode == 0, told
    assert json.loads(shown)['outcome'] == 'done'
    assert person.facts()['valve', 'main_valve'] == 'closed'
