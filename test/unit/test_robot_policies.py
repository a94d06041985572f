# SPDX-License-Identifier: Apache-2.0
"""The example robots: lint finds nothing in them, they use the whole format, and docs/policies.md quotes them truly."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from gemma4_ros.cli.gate import app
from gemma4_ros.core.gate.lint import lint
from gemma4_ros.core.gate.policy import CHANNELS
from gemma4_ros.core.gate.policy_schema import POLICY, TRUST
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

if TYPE_CHECKING:
    from gemma4_ros.core.gate.bind import Catalogue
    from gemma4_ros.core.gate.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
ROBOTS = ('mobile_base', 'arm', 'mobile_manipulator')
DOC = ROOT / 'docs' / 'policies.md'


def load(robot: str) -> tuple[Policy, Catalogue]:
    return load_gate(GateFiles(str(ROOT / 'config' / 'robots' / robot), tools=('tools.yaml',)))


def raw(robot: str) -> dict[str, Any]:
    text = (ROOT / 'config' / 'robots' / robot / 'policy.yaml').read_text(encoding='utf-8')
    return dict(yaml.safe_load(text))


@pytest.mark.parametrize('robot', ROBOTS)
def test_lint_finds_nothing(robot: str) -> None:
    assert lint(*load(robot)) == []


@pytest.mark.parametrize('robot', ROBOTS)
def test_every_section_of_the_format_is_used(robot: str) -> None:
    assert set(raw(robot)) == set(POLICY['properties'])


@pytest.mark.parametrize('robot', ROBOTS)
def test_signals_have_publishers_and_what_moves_is_watched_for_standing_still(robot: str) -> None:
    policy, _ = load(robot)
    assert all(policy.signals[name].publishers for name in ('mode', 'estop'))
    assert policy.zones is not None
    assert policy.signals[policy.zones.signal].frozen_after_s < math.inf
    assert {area.is_keep_out for area in policy.zones.areas} == {True, False}


@pytest.mark.parametrize('robot', ROBOTS)
def test_what_cannot_be_undone_wants_two_people_with_a_role_on_every_channel(robot: str) -> None:
    policy, _ = load(robot)
    for channel in CHANNELS:
        need = policy.approvals[3, channel]
        assert (need.confirm, need.people) == (True, 2)
        fit = [person for person in policy.people.values() if need.role in person.roles]
        assert need.role
        assert len(fit) >= 3  # one may be the proposer
    text = (ROOT / 'config' / 'robots' / robot / 'policy.yaml').read_text(encoding='utf-8')
    assert 'EXAMPLE KEYS' in text


def test_the_examples_together_use_everything_there_is() -> None:
    policies = [load(robot)[0] for robot in ROBOTS]
    kinds = {rule.kind for policy in policies for rule in policy.sequences}
    assert kinds == set(POLICY['properties']['sequences']['additionalProperties']['properties']['rule']['enum'])
    tools = [rule for policy in policies for rule in policy.tools.values()]
    assert {rule.trust for rule in tools} >= {'camera', 'document', 'signal'} <= set(TRUST)
    assert any(when.caps for rule in tools for when in rule.when)
    assert any(limit.is_rate for rule in tools for limit in rule.limits)
    assert any(limit.of and not limit.is_rate for rule in tools for limit in rule.limits)
    assert any(rule.at_once == 1 for rule in tools)
    assert any(rule.post and rule.post.near_end_m < math.inf for rule in tools)
    assert any(rule.post and rule.post.test.equals is not None for rule in tools)
    assert any(argument.sources for rule in tools for argument in rule.args.values())
    assert {signal.fresh_by for policy in policies for signal in policy.signals.values()} == {'age', 'liveliness'}


def test_no_key_stands_twice() -> None:
    keys = [person.key for robot in ROBOTS for person in load(robot)[0].people.values()]
    assert len(set(keys)) == len(keys)


def test_the_manipulator_is_that_of_the_simulated_cell() -> None:
    _, here = load('mobile_manipulator')
    _, cell = load_gate(GateFiles(str(ROOT / 'config')))
    assert here.toolset == cell.toolset
    assert here.world == cell.world


@pytest.mark.parametrize(
    ('robot', 'step', 'interface'),
    [
        ('mobile_base', Step('s1', 'go_to', {'place': 'laboratory'}), 'nav2_msgs/action/NavigateToPose'),
        ('arm', Step('s1', 'move_above', {'place': 'rest', 'speed': 0.2}), 'moveit_msgs/action/MoveGroup'),
    ],
)
def test_a_plan_on_types_that_are_not_installed_is_judged_offline(
    robot: str, step: Step, interface: str, tmp_path: Path
) -> None:
    _, catalogue = load(robot)
    assert catalogue.toolset.tools[step.tool].interface.type == interface
    plan = tmp_path / 'plan.json'
    plan.write_bytes(plan_to_bytes(Plan('there', Sequence((step,)))))
    folder = str(ROOT / 'config' / 'robots' / robot)
    done = CliRunner().invoke(app, ['check', str(plan), '--config', folder, '--tools', 'tools.yaml', '--json'])
    told = json.loads(done.stdout)
    assert told['decision'] == 'allow', told
    assert done.exit_code == 0


# The document ---------------------------------------------------------------------------------------------------------
def test_every_excerpt_of_the_document_stands_in_the_file_that_it_names() -> None:
    text = DOC.read_text(encoding='utf-8')
    found = re.findall(r'```yaml\n# (\S+)\n(.*?)```', text, re.DOTALL)
    assert len(found) == text.count('```yaml')
    assert {name.partition('/')[0] for name, _ in found} == set(ROBOTS)
    for name, excerpt in found:
        lines = (ROOT / 'config' / 'robots' / name).read_text(encoding='utf-8').splitlines()
        missing = [line for line in excerpt.splitlines() if line.strip() and line not in lines]
        assert not missing, f'{name} has no such line: {missing}'


def test_the_document_has_a_part_for_every_section_of_the_format() -> None:
    heads = re.findall(r'^## (.+)$', DOC.read_text(encoding='utf-8'), re.MULTILINE)
    named = {name for head in heads for name in re.findall(r'`([a-z]+)`', head)}
    assert named >= set(POLICY['properties']) - {'policy', 'name', 'version'}
