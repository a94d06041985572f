#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests: first those without processes and DDS, on every core; then the others one by one, as they measure times.
# With arguments: one run of pytest with them.
set -uo pipefail
cd "$(dirname "$0")/.."
export GEMMA4_TESTS_MUST_RUN=1
[ $# -gt 0 ] && exec python -m pytest "$@"
status=0
python -m pytest -q -n logical --maxprocesses 4 --dist worksteal test/unit test/contract || status=1
python -m pytest test/node test/launch test/e2e || status=1
exit $status
