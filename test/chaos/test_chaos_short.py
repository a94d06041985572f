# SPDX-License-Identifier: Apache-2.0
"""The trials of ``make chaos``, a few of each, so that they stay able to run; what they measure is for the long run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
sys.path.insert(0, str(Path(__file__).resolve().parent))

import cancel
import kill
from plant import Plant

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(240)]
NODES = ('cell', 'deadman', 'gate', 'executor', 'recorder')


@pytest.fixture(scope='module')
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    with Plant(tmp_path_factory.mktemp('chaos'), NODES) as made:
        yield made


@pytest.mark.parametrize('number', [3, 8])
def test_nothing_moves_after_a_cancel_was_answered(plant: Plant, number: int) -> None:
    found = cancel.trial(plant, 'plan', '', number)
    assert not found['breaches'], found


@pytest.mark.parametrize(
    ('phase', 'name', 'number'),
    [('driving', 'gate', 0), ('last', 'executor', 0), ('cancelling', 'executor', 1), ('arm', 'deadman', 1)],
)
def test_what_is_killed_or_stopped_leaves_the_robot_at_rest(plant: Plant, phase: str, name: str, number: int) -> None:
    found = kill.trial(plant, phase, name, number)
    assert not found['breaches'], found


def test_a_process_that_only_records_stops_nothing(plant: Plant) -> None:
    found = kill.trial(plant, 'driving', 'recorder', 0)
    assert not found['breaches'] and plant.tree.status == 2, found
