# SPDX-License-Identifier: Apache-2.0
"""``gemma4 read gauge``: exit codes, JSON, and errors of one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import dials
import pytest
from typer.testing import CliRunner

from gemma4_ros.cli.read import app


def run(image: Path, *more: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ['gauge', str(image), '--gauge', 'pressure_gauge', *more])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / 'dial.png'
    image = dials.render(dials.TUNE_LAYOUTS[0], 7.4, dials.View(), 1)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def test_value_with_unit_and_interval_is_printed(picture: Path) -> None:
    code, out, _ = run(picture)
    assert code == 0
    assert 'bar' in out and 'interval' in out
    code, out, _ = run(picture, '--json')
    assert code == 0 and json.loads(out)['value'] == pytest.approx(7.4, abs=0.1)


def test_picture_without_a_dial_is_exit_code_5(tmp_path: Path) -> None:
    path = tmp_path / 'grey.png'
    cv2.imwrite(str(path), cv2.UMat(240, 320, cv2.CV_8UC3, (90, 90, 90)).get())
    code, out, _ = run(path, '--json')
    assert code == 5 and json.loads(out)['reason'] == 'no_dial'
    code, out, error = run(path)
    assert code == 5 and not out and 'cannot be read' in error


@pytest.mark.parametrize('content', [None, b'', b'no picture', b'\x89PNG\r\n\x1a\n truncated'])
def test_bad_files_are_exit_code_2_and_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / 'x.png'
    if content is not None:
        path.write_bytes(content)
    code, _, error = run(path)
    assert code == 2 and str(path) in error and 'Traceback' not in error


def test_unknown_gauge_names_those_that_there_are(picture: Path) -> None:
    result = CliRunner().invoke(app, ['gauge', str(picture), '--gauge', 'thermometer'])
    assert result.exit_code == 2 and 'pressure_gauge' in result.stderr
