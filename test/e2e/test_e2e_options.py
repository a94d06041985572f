# SPDX-License-Identifier: Apache-2.0
"""The commands as somebody types them, each in its own process, with the real model."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

pytest.importorskip('rclpy')

from gemma4_ros.core import schemas
from gemma4_ros.core.plan import plan_from_json

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 150.0


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end of a command; return its exit code and what it wrote."""
    try:
        shown, told = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert 'Traceback' not in shown + told
    return process.returncode, shown, told


def test_a_composed_stack_in_a_namespace_answers_and_hears(up: Callable[..., Any], gemma4: Callable[..., Any]) -> None:
    words = ['--namespace', 'r1']
    it = up('--composed', *words)
    it.wait_ready(90.0)
    (shared,) = [each.cmdline() for each in it.all() if 'planner' in each.cmdline()]
    assert {'perception', 'planner', 'speech', 'copilot'} < set(shared)
    code, shown, told = end(gemma4('say', 'where is the filter?', *words))
    assert (code, 'control desk' in shown.replace('_', ' ')) == (0, True), f'{shown}\n{told}'
    code, shown, told = end(gemma4('hear', 'demo/command.wav', '--quiet', '5', *words))
    assert (code, 'the gate is disarmed' in shown) == (0, True), f'{shown}\n{told}'
    assert 'heard: bring the red toolbox to the valve station' in told.lower()
    it.process.send_signal(signal.SIGINT)
    it.wait_gone()


@pytest.mark.parametrize(
    ('text', 'asks_model'),
    [('bring the red toolbox to the pump', False), ('bring the red toolbox to the pump pronto', True)],
    ids=['evident', 'drafted by the model'],
)
def test_plan_prints_a_valid_plan(gemma4: Callable[..., Any], text: str, asks_model: bool) -> None:
    code, shown, told = end(gemma4('plan', text, '--json'))
    assert code == 0, told
    document = json.loads(shown)
    assert (document['passes'] > 0) == asks_model
    jsonschema.Draft202012Validator(schemas.PLAN).validate(document['plan'])
    plan = plan_from_json(document['plan'])
    assert [step.tool for step in plan.steps()] == ['undock', 'navigate_to', 'pick', 'navigate_to', 'place']
    assert document['timings']['total_s'] > 0 and len(document['sha256']) == 64


@pytest.mark.parametrize(
    ('words', 'environment', 'expected', 'says'),
    [
        (['plan', 'go to the pump', '--nonsense'], {}, 2, 'nonsense'),
        (['plan', 'go to the pump', '--config', '/nonexistent'], {}, 2, '/nonexistent'),
        (['plan', 'go to the pump', '--model', 'gemma-nine'], {}, 2, 'gemma-nine'),
        (['plan', 'go to the pump'], {'GEMMA4_MODELS_DIR': '/nonexistent'}, 6, 'gemma4 model get'),
        (['hear', 'demo/nothing.wav'], {}, 2, 'nothing.wav'),
        (['say', 'go to the pump', '--namespace', 'nobody'], {}, 6, 'gemma4 up'),
        (['plan', ''], {}, 4, 'empty'),
    ],
    ids=['option', 'config', 'model', 'no-model', 'no-file', 'no-stack', 'no-text'],
)
def test_what_cannot_be_done_ends_with_its_code_and_a_sentence(
    gemma4: Callable[..., Any], words: list[str], environment: dict[str, str], expected: int, says: str
) -> None:
    code, shown, told = end(gemma4(*words, env=environment))
    assert (code, says in shown + told) == (expected, True), f'{code}: {shown}{told}'
