# SPDX-License-Identifier: Apache-2.0
"""The planner with a scripted model: plans, repairs, and commands that no one should send."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4_ros.backends.scripted import ScriptedModel
from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.planning.checks import check_plan
from gemma4_ros.core.planning.planner import Planner
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
_WORLD, _TOOLS = 'config/world.yaml', 'config/tools/cell.yaml'
WORLD = load_world((ROOT / _WORLD).read_text(encoding='utf-8'), _WORLD)
TOOLSET = load_tools([(_TOOLS, (ROOT / _TOOLS).read_text(encoding='utf-8'))], WORLD)


def _plan(command: str, *answers: str):
    model = ScriptedModel(answers)
    planner = Planner(WORLD, TOOLSET, model)
    return planner, model, planner.plan(command, WORLD.initial)


def test_a_good_draft_becomes_a_plan():
    planner, model, outcome = _plan('bring the toolbox to the pump pronto', 'bring(red_toolbox, pump)')
    assert outcome.kind == 'plan'
    assert len(model.requests) == 1
    check_plan(outcome.plan, planner.symbolic, WORLD.initial)


def test_a_draft_that_forgets_a_name_is_repaired():
    right = 'navigate_to(pump)\nnavigate_to(valve_station)\nnavigate_to(control_desk)'
    _, model, outcome = _plan('make a round: pump, valve station, control desk', 'navigate_to(pump)', right)
    assert outcome.kind == 'plan'
    assert len(model.requests) == 2
    assert outcome.draft == right


def test_a_refusal_of_something_possible_is_doubted():
    text = 'go to where the sample bottle is and pick it up'
    _, model, outcome = _plan(text, 'cannot("no such thing")', 'pick(sample_bottle)')
    assert outcome.kind == 'plan'
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    'command',
    [
        '',
        '   ',
        'x' * 10_000,
        'drive\x00 to\x1b the pump',
        'fahre bitte zur Pumpe',
        'drive to the moon',
        'open and close the valve',
    ],
)
def test_a_bad_command_never_becomes_a_plan_when_the_model_declines(command):
    try:
        _, _, outcome = _plan(command, *['cannot("not possible")'] * 4)
    except PlanError:  # refused before the model is asked
        return
    assert outcome.kind in ('ask', 'cannot')
    assert outcome.text
