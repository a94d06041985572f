# SPDX-License-Identifier: Apache-2.0
"""How a target is fuzzed: by atheris, guided by coverage, where it is installed and the target runs as a program."""

from __future__ import annotations

import contextlib
import importlib.util
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ['has_fuzzer', 'instrumented', 'run']

MAX_DATA_BYTES = 2 << 30

LIB = Path(__file__).resolve().parents[1] / 'lib'
if str(LIB) not in sys.path:
    sys.path.insert(0, str(LIB))


def has_fuzzer() -> bool:
    """Say whether atheris can be imported."""
    return importlib.util.find_spec('atheris') is not None


def instrumented() -> contextlib.AbstractContextManager[Any]:
    """Return what counts the branches of the modules imported under it; nothing, when a test imports the target."""
    if not (has_fuzzer() and Path(sys.argv[0]).name.startswith('fuzz_')):
        return contextlib.nullcontext()
    import atheris

    context: contextlib.AbstractContextManager[Any] = atheris.instrument_imports(include=['gemma4_ros.core'])
    return context


def run(check: Callable[[bytes], object], seeds: Iterable[bytes]) -> None:
    """Fuzz ``check`` with libFuzzer's arguments of the command line, from the seeds on; any exception is a finding.

    Memory is bounded by the kernel, and its end is a MemoryError. libFuzzer's own ``-rss_limit_mb`` looks at the peak
    of the process, which Linux hands on from the parent through vfork and exec: a large test runner would be a finding.
    """
    if not has_fuzzer():
        raise SystemExit('atheris is not installed: pip install -r requirements/dev.txt')
    import atheris

    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))

    def one_input(data: bytes) -> None:
        check(data)

    with tempfile.TemporaryDirectory() as corpus:
        for index, seed in enumerate(seeds):
            (Path(corpus) / str(index)).write_bytes(seed)
        atheris.Setup([*sys.argv, corpus], one_input)
        atheris.Fuzz()
