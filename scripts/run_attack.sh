#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every attack at its full count; then one report over all of them. With arguments: only those tests.
set -uo pipefail
cd "$(dirname "$0")/.."
export GEMMA4_ATTACK=full GEMMA4_TESTS_MUST_RUN=1
status=0
if [ $# -gt 0 ]; then
    python -m pytest --timeout 0 "$@" || status=1
else
    python -m pytest --timeout 0 test/attack || status=1
fi
python scripts/attack_report.py || status=1
exit $status
