# SPDX-License-Identifier: Apache-2.0
"""The gate's rules and memory: values in, verdicts out."""
