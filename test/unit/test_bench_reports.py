# SPDX-License-Identifier: Apache-2.0
"""The measurements' reports: what they say, what they hold, and that the short form of the gate's works without ROS."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_report() -> Any:
    spec = importlib.util.spec_from_file_location('bench_report', ROOT / 'bench' / '_report.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report = load_report()


@pytest.mark.parametrize(
    ('values', 'share', 'wanted'),
    [([7.0], 0.5, 7.0), ([3.0, 1.0, 2.0], 0.5, 2.0), (list(range(1, 101)), 0.99, 99), (list(range(1, 101)), 1.0, 100)],
)
def test_percentile_is_the_smallest_value_that_the_share_does_not_exceed(
    values: list[float], share: float, wanted: float
) -> None:
    assert report.percentile(values, share) == wanted


@pytest.mark.parametrize('count', [1, 2, 9, 10, 99, 100, 101, 999, 1000, 1001])
@pytest.mark.parametrize('share', [0.01, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_percentile_covers_its_share_and_nothing_smaller_does(count: int, share: float) -> None:
    values = list(range(count))
    found = report.percentile(values, share)
    covered = [sum(value <= mark for value in values) / count for mark in (found, found - 1)]
    assert covered[0] >= share - 1e-12
    assert covered[1] < share


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match='no values'):
        report.percentile([], 0.5)


def test_a_report_says_when_on_what_and_with_what(tmp_path: Path) -> None:
    page = report.table(('what', 'ms'), [('a', 1.23456), ('b', 2)])
    path = report.write('some', {'figure': 1.5}, page, tmp_path, ('pytest', 'no-such-package'))
    told = json.loads(path.read_text(encoding='utf-8'))
    assert told['bench'] == 'some'
    assert told['figure'] == 1.5
    assert told['versions']['pytest'] == pytest.__version__
    assert told['versions']['no-such-package'] == 'none'
    assert told['machine']['cores_usable'] >= 1
    text = (tmp_path / 'some.md').read_text(encoding='utf-8')
    assert '| a | 1.23 |' in text
    assert told['at'] in text


def test_the_short_form_of_the_gates_measurement_works_without_ros(tmp_path: Path) -> None:
    blocked = 'import sys; sys.modules["rclpy"] = None; sys.argv = sys.argv[1:]; import runpy; '
    command = [sys.executable, '-c', f'{blocked}runpy.run_path(sys.argv[0], run_name="__main__")']
    command += [str(ROOT / 'bench' / 'gate.py'), '--short', '--out', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / 'gate.json').read_text(encoding='utf-8'))
    assert told['short'] is True
    for key in ('admission_p99_ms', 'step_p99_ms', 'audit_p99_ms'):
        assert told[key] > 0.0
    for figures in told['policies'].values():
        assert figures['plan_steps'] == 12
        assert figures['admission_cpu']['count'] == 20
        assert figures['step_cpu']['count'] == 11 * 20  # all that were asked for were sent
    assert set(told['policies']) == {'mobile_manipulator', 'cell'}
    assert set(told['validators']) == {'jsonschema', 'jsonschema_rs'}
    assert told['audit']['count'] == 20
    assert told['service'] == {'skipped': 'short form'}
    assert 'admit 12 steps' in (tmp_path / 'gate.md').read_text(encoding='utf-8')
    assert not list(tmp_path.glob('tmp*')), 'the log that was measured is left behind'


@pytest.mark.parametrize('name', ['control_jitter', 'deadman_soak', 'gate'])
def test_every_measurement_is_found_by_its_name(name: str) -> None:
    text = (ROOT / 'bench' / f'{name}.py').read_text(encoding='utf-8')
    assert "if __name__ == '__main__':" in text
    assert f"write('{name}'," in text or f'write("{name}",' in text
