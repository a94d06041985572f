# SPDX-License-Identifier: Apache-2.0
"""The summary page: complete, alone, and deaf to whatever texts say."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from gemma4_ros.cli.summary_page import animate, write_summary

HOSTILE = '<script>alert(1)</script>"\'><img src=x onerror=alert(1)>\x1b[31m\u202e'


def frames(count: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(2)
    return [random.integers(0, 255, (90, 160, 3), np.uint8) for _ in range(count)]


def test_page_holds_what_happened_in_one_file(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'dial.png'), frames(1)[0])
    animate(frames(), tmp_path / 'overview.webp')
    (tmp_path / 'run.mcap').write_bytes(b'x' * 3000)
    report = {
        'command': 'read the pressure gauge',
        'outcome': {'ok': True, 'text': 'done in a minute'},
        'draft': [{'tool': 'read_gauge'}],
        'plan': {'steps': [{'id': 's1', 'tool': 'navigate_to', 'args': {'place': 'pump'}}]},
        'verdicts': [{'decision': 3, 'rule': 'policy.tools.pick.tier', 'step_id': 's1', 'text': 'not now'}],
        'tree': [
            {'id': '/', 'parent_id': '', 'kind': 'sequence', 'status': 2, 'duration_s': 3.0},
            {'id': 's1', 'parent_id': '/', 'label': 'navigate_to(place=pump)', 'status': 3, 'attempt': 2},
        ],
        'readings': [
            {'name': 'pressure_gauge', 'value': 4.2, 'low': 4.1, 'high': 4.3, 'unit': 'bar', 'image': 'dial.png'}
        ],
        'animation': 'overview.webp',
        'recording': 'run.mcap',
        'next': ['make demo SAY="…"'],
    }
    page = write_summary(tmp_path, report).read_text()
    for text in (
        'read the pressure gauge',
        'navigate_to(place=pump)',
        'DENY',
        'not now',
        '4.20 bar',
        'attempt 2',
        'FAILED',
    ):
        assert text in page
    assert page.count('data:image/webp;base64,') == 1
    assert page.count('data:image/jpeg;base64,') == 2  # evidence, and the series
    assert 'href="./run.mcap"' in page
    assert 'http' not in re.sub('http-equiv', '', page)


def test_texts_are_escaped_everywhere(tmp_path: Path) -> None:
    report = {
        'command': HOSTILE, 'transcript': HOSTILE, 'model': HOSTILE, 'started': HOSTILE, 'duration_s': HOSTILE,
        'outcome': {'ok': False, 'text': HOSTILE},
        'draft': {HOSTILE: HOSTILE},
        'plan': {'steps': [{'id': HOSTILE, 'tool': HOSTILE, 'args': {HOSTILE: HOSTILE}}]},
        'verdicts': [{'decision': HOSTILE, 'rule': HOSTILE, 'step_id': HOSTILE, 'text': HOSTILE}],
        'tree': [{'id': HOSTILE, 'label': HOSTILE, 'status': HOSTILE, 'duration_s': HOSTILE, 'text': HOSTILE}],
        'results': [{'step_id': HOSTILE, 'tool': HOSTILE, 'values': {HOSTILE: HOSTILE}}],
        'readings': [
            {'name': HOSTILE, 'value': HOSTILE, 'low': HOSTILE, 'high': HOSTILE, 'unit': HOSTILE, 'image': HOSTILE},
            {'status': 1, 'reason': HOSTILE, 'method': HOSTILE, 'image_sha256': HOSTILE},
        ],
        'animation': HOSTILE, 'pictures': [HOSTILE], 'recording': HOSTILE, 'audit': HOSTILE, 'next': [HOSTILE],
    }  # fmt: skip
    page = write_summary(tmp_path, report).read_text()
    assert '<script' not in page and '<img' not in page
    assert '\x1b' not in page and '\u202e' not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize('name', ['../secret.png', '/etc/hostname', 'no.png', ''])
def test_files_outside_of_the_folder_are_never_taken(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / 'secret.png'), frames(1)[0])
    inside = tmp_path / 'demo'
    inside.mkdir()
    (inside / 'link.png').symlink_to(tmp_path / 'secret.png')
    report = {'pictures': [name, 'link.png'], 'animation': name, 'recording': name, 'readings': [{'image': name}]}
    page = write_summary(inside, report).read_text()
    assert 'data:image' not in page and 'href' not in page


def test_empty_report_is_a_page(tmp_path: Path) -> None:
    assert '<main>' in write_summary(tmp_path, {}).read_text()


@pytest.mark.parametrize('suffix', ['.webp', '.gif'])
def test_animation_holds_all_frames_smaller(tmp_path: Path, suffix: str) -> None:
    path = animate(frames(5), tmp_path / f'run{suffix}', width_px=80)
    done, animation = cv2.imreadanimation(str(path))
    assert done and len(animation.frames) == 5
    assert animation.frames[0].shape[:2] == (45, 80)


def test_animation_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='needs frames'):
        animate([], tmp_path / 'run.webp')
    with pytest.raises(ValueError, match='webp'):
        animate(frames(1), tmp_path / 'run.avi')
