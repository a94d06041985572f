# SPDX-License-Identifier: Apache-2.0
"""K3, one trial of each: controllers that are slow or lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'attack' / 'lib'))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import controllers

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope='module')
def bad_robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with controllers.BadRobot(tmp_path_factory.mktemp('bad')) as made:
        yield made


@pytest.mark.parametrize('mode', controllers.MODES)
def test_plans_over_bad_controllers_end_in_time(mode: str, bad_robot: Any) -> None:
    found = controllers.trial(bad_robot, mode, '', 0)
    assert not found['breaches'], found
