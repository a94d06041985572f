# SPDX-License-Identifier: Apache-2.0
"""The frozen command set is frozen, and it stands apart from what the stack is developed on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# Never change a line here to make a figure better. A correction gets its line in docs/evaluation.md.
FROZEN = {
    'config/eval/commands_test.yaml': 'c70370afe5bee5e6a06e62aaef359d5893da7b5d0965894e0f848d34a36e756e',
    'config/tools/arm.yaml': '5036af4dc9f9d0a1a9b6435b3aeeae8044dc25fdd89448ababc50c8703a35295',
    'config/tools/lab.yaml': '86a53acd5a29ed4caa30b2191ab89c053eca14dfac4806de486a5bfae3fc41b7',
    'config/tools/warehouse.yaml': '8669b9683ffa72765046a17f771d72cc7bb5dbc313ad5dc098bba212803779b6',
    'config/worlds/bench.yaml': '6fe6090772b5db166c2c27e4f555bcb7970dc9af5795ef8e40df98632b81bf94',
    'config/worlds/lab.yaml': '4cc3e691cf9dd78c744c862071ebc51ba18cbff92ed44ae203642672c80fc6d3',
    'config/worlds/warehouse.yaml': 'ad2041000377ecaadcf4cfd995c80b3913fda4a6505ddd5e89a8f03e445f4f7d',
}


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', FROZEN)
def test_a_frozen_file_has_its_hash(path: str) -> None:
    digest = hashlib.sha256((ROOT / path).read_bytes()).hexdigest()
    assert digest == FROZEN[path], f'{path} is frozen: see "The frozen set" in docs/evaluation.md before you change it'


def test_everything_the_frozen_set_reads_is_frozen() -> None:
    used = {'config/eval/commands_test.yaml'}
    for entry in load('config/eval/commands_test.yaml')['commands']:
        used |= {entry['world'], *entry['tools']}
    assert used == set(FROZEN)


def test_the_frozen_set_shares_no_world_tool_set_or_command_with_the_development_set() -> None:
    test, dev = (load(f'config/eval/commands_{name}.yaml')['commands'] for name in ('test', 'dev'))
    for part in (lambda e: [e['world']], lambda e: e['tools'], lambda e: [e['text'].lower()], lambda e: [e['id']]):
        assert not {v for e in test for v in part(e)} & {v for e in dev for v in part(e)}
