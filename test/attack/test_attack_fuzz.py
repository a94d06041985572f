# SPDX-License-Identifier: Apache-2.0
"""K8: decoder, configuration and approvals under bytes of any kind, against other code that reads the same."""

from __future__ import annotations

import importlib.util
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.attack]
FOLDER = Path(__file__).parent / 'fuzz'
TARGETS = {'decode': 'T6', 'policy': 'T22', 'approval': 'T18'}  # each with the threat that it is about


@pytest.fixture
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a target's module without the fuzzer."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f'fuzz_{request.param}', FOLDER / f'fuzz_{request.param}.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def changed(rng: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """Return a seed with some places changed, or two seeds grafted."""
    raw = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        index = rng.randrange(len(raw) + 1)
        other = rng.choice(seeds)
        cut = rng.randrange(len(other))
        piece = rng.choice(
            (rng.randbytes(1), b'"', b'\\', b'{', b'[', b'0', b'-', b'\n', b':', other[cut : cut + rng.randrange(16)])
        )
        raw[index : index + rng.choice((0, 1, len(piece)))] = piece
    return bytes(raw)


@pytest.mark.parametrize('target', TARGETS, indirect=True)
def test_no_change_of_a_good_input_is_read_as_something_else(
    target: Any, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    rng, taken = random.Random(8), 0
    count = trials(200, 5000)
    for _ in range(count):
        taken += bool(target.check(changed(rng, target.SEEDS)))
    record(TARGETS[target.__name__.removeprefix('fuzz_')], trials=count, breaches=0, taken=taken)
    assert 0 < taken < count


@pytest.mark.skipif(
    importlib.util.find_spec('atheris') is None, reason='atheris is not installed: Python 3.11 and above'
)
@pytest.mark.timeout(0)
@pytest.mark.parametrize('name', TARGETS)
def test_fuzzer_guided_by_coverage_finds_nothing(
    name: str, tmp_path: Path, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    seconds = trials(1, 60)
    command = [
        sys.executable,
        str(FOLDER / f'fuzz_{name}.py'),
        f'-max_total_time={seconds}',
        '-max_len=8192',
        '-timeout=10',
    ]
    command += ['-rss_limit_mb=0', '-print_final_stats=1', f'-artifact_prefix={tmp_path}/']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=seconds + 100)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    runs = int(re.search(r'number_of_executed_units:\s*(\d+)', said)[1])  # type: ignore[index]
    branches = [int(count) for count in re.findall(r'cov: (\d+)', said)]
    record(TARGETS[name], trials=runs, breaches=0, seconds=seconds, coverage=max(branches, default=0))
    assert runs > 20 and max(branches, default=0) > 100  # it saw the code that it ran
