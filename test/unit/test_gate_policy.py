# SPDX-License-Identifier: Apache-2.0
"""The policy file: what is refused names file, line and rule; what is taken is what stands there; what lint finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4_ros.core.errors import PolicyError
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.lint import lint
from gemma4_ros.core.gate.policy import Approval, Policy
from gemma4_ros.core.gate.policy_file import load_policy
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_catalogue

CONFIG = Path(__file__).resolve().parents[2] / 'config'
TEXT = (CONFIG / 'policy.yaml').read_text(encoding='utf-8')
CATALOGUE: Catalogue = load_catalogue(GateFiles(str(CONFIG)))


def load(text: str) -> Policy:
    return load_policy(text, 'policy.yaml', CATALOGUE.toolset)


def test_shipped_policy_is_what_the_demo_needs() -> None:
    policy = load(TEXT)
    assert set(policy.tools) == set(CATALOGUE.toolset.tools)
    assert policy.approvals[2, 'typed'] == Approval(confirm=False, people=0)
    assert policy.approvals[2, 'speech'] == Approval(confirm=True, people=0)
    assert policy.approvals[3, 'typed'] == Approval(confirm=True, people=0)
    assert policy.modes == {'AUTO': 3, 'MANUAL': 0, 'MAINTENANCE': 0}
    assert lint(policy, CATALOGUE) == []


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('policy: "1"', 'policy: 1', "policy.yaml:4: policy: '1' was expected"),
        ('version: 1', 'version: 010', 'is not clear'),
        ('version: 1', 'version: 1\nversion: 2', "'version' stands twice"),
        ('version: 1', 'version: !!int 1', 'tag'),
        ('version: 1', 'version: &a 1', 'anchors'),
        ('version: 1', 'version: 12:30:45', 'is not clear'),
        ('confirm: false', 'confirm: no', 'is not clear'),
        ('max_age_s: 0.5', 'max_age_s: .inf', 'is not clear'),
        ('max_age_s: 0.5', 'max_age_s: 0', 'less than or equal to the minimum'),
        ('  estop: {', '  emergency: {', "'estop' is missing"),
        (
            'estop: {topic: estop, type: std_msgs/msg/Bool, field: data,',
            'estop: {topic: estop, type: std_msgs/msg/Bool,',
            "'field' is missing",
        ),
        ('  dock: {risk', '  duck: {risk', "unknown tool 'duck'; did you mean 'dock'?"),
        ('risk: motion, hazard: h1}', 'risk: motoin, hazard: h1}', "did you mean 'motion'?"),
        ('dock: {risk: motion, hazard: h1}', 'dock: {risk: read, hazard: h1}', "below 'motion' of the tools file"),
        ('dock: {risk: motion, hazard: h1}', 'dock: {risk: motion}', "'hazard' is missing"),
        ('dock: {risk: motion, hazard: h1}', 'dock: {risk: motion, hazard: h9}', "unknown hazard 'h9'"),
        ('value_bar: {min', 'value: {min', 'takes no such argument'),
        ('unit: bar', 'unit: psi', "the tool wants 'bar'"),
        ('min: 0.5, max: 6.0', 'min: 9.0, max: 10.0', 'nothing between 9.0 and 10.0 bar'),
        ('min: 0.5, max: 6.0', 'allow: [a]', 'numbers take min, max and unit'),
        ('people: 0', 'people: 3', 'greater than the maximum'),
        ('AUTO: irreversible', 'AUTO: all', 'is not taken'),
        ('leases: {executor_s: 1.0', 'leases: {executor_s: 60.0', 'greater than the maximum'),
        ('permit: {time_to_live_s: 1800, start_within_s: 30}\n', '', "'permit' is missing"),
        ('hazards:', 'rules: []\nhazards:', "unknown key 'rules'"),
    ],
)
def test_wrong_policy_is_refused_by_name(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(PolicyError) as caught:
        load(TEXT.replace(old, new, 1))
    assert said in str(caught.value)
    assert str(caught.value).startswith('policy.yaml')


@pytest.mark.parametrize(
    'text', ['', '[]', 'a', '\t', 'policy: "1"\n---\npolicy: "1"', '{' * 100, 'x: ' + 'y' * (1 << 20)]
)
def test_no_policy_at_all_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        load(text)


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('  dock: {risk: motion, hazard: h1}\n', '', 'dock is not listed'),
        ('  h4:', '  h5: nothing\n  h4:', 'policy.hazards.h5: no tool brings it'),
        ('min: 0.5, max: 6.0', 'min: 0.0, max: 8.0', 'as wide as the tool itself'),
        (
            '  navigate_to: {risk: motion, hazard: h1}',
            '  navigate_to: {risk: motion, hazard: h1, args: {place: {allow: [pump], deny: [pump]}}}',
            'nothing is left',
        ),
        (
            '  navigate_to: {risk: motion, hazard: h1}',
            '  navigate_to: {risk: motion, hazard: h1, args: {place: {allow: [pump, storage], deny: [pump]}}}',
            'allowed and denied',
        ),
        ('MANUAL: read', 'MANUAL: motion', 'while people work at the robot'),
        ('AUTO: irreversible', 'AUTO: motion', 'can never be used'),
        ('max_age_s: 0.5', 'max_age_s: 60.0', 'still counts as fresh'),
        ('topic: odom', 'topic: pose', 'on odom'),
        ('time_to_live_s: 120', 'time_to_live_s: 3600', 'a yes may come 60 min after'),
        (
            'fresh_by: age, max_age_s: 1.0, needed_from: read',
            'fresh_by: age, max_age_s: 1.0, needed_from: motion',
            "below 'motion' go on",
        ),
        (
            'max_age_s: 0.5, needed_from: motion',
            'max_age_s: 0.5, needed_from: irreversible',
            'a lost pose would go unseen',
        ),
        (
            'irreversible:\n    typed: {confirm: true',
            'irreversible:\n    typed: {confirm: false',
            'done without a question',
        ),
        (
            'irreversible:\n    typed: {confirm: true, people: 0}\n    speech: {confirm: true',
            'irreversible:\n    typed: {confirm: true, people: 0}\n    speech: {confirm: false',
            'asks for less than',
        ),
        ('pose: {topic', 'position: {topic', 'the world has no such signal'),
        ('time_to_live_s: 1800', 'time_to_live_s: 86400', 'a permit lives 24.0 h'),
        (
            'motion:\n    typed: {confirm: false, people: 0}\n    speech: {confirm: true',
            'motion:\n    typed: {confirm: false, people: 0}\n    speech: {confirm: false',
            'a voice alone moves the robot',
        ),
    ],
)
def test_lint_finds_what_is_useless_or_too_wide(old: str, new: str, said: str) -> None:
    assert old in TEXT
    assert any(said in line for line in lint(load(TEXT.replace(old, new, 1)), CATALOGUE))
