# SPDX-License-Identifier: Apache-2.0
"""What `make setup` does, in the standard library alone: it runs before anything is installed."""
