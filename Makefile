# Everything runs in .venv; nothing needs root. Set-up is done once: the stamps in .venv know what it was done for.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help setup demo test lint bench targets chaos image audit lock clean

VENV := .venv
BIN := $(VENV)/bin
# What `make bench` measures beside us, and `make targets` reads configs with, has an environment of its own.
PEERS := .venv-peers
INSTALL := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install
# The locks are whole, so nothing is left to resolve; older pips would still look for newer versions of what has extras.
HASHED := $(INSTALL) --require-hashes --no-deps --only-binary :all:
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# As in the worker: one BLAS thread a process, or numpy's threads fight the processes that tests and benchmarks start.
export OPENBLAS_NUM_THREADS := 1

# The first that is new enough; `make setup PYTHON=/path/to/python` chooses another.
PYTHON = $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

setup: $(VENV)/.runtime  ## make .venv with what running needs, locked by hash
	@echo "ready: $(BIN)/halfstep"

demo: $(VENV)/.runtime  ## set up, start everything, train the digits in float16, show what happened
	@$(BIN)/python -m examples.demo

test: $(VENV)/.dev  ## every test, with branch coverage
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --quiet --cov --cov-report=term:skip-covered

lint: $(VENV)/.dev  ## style, types, and who may import whom
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev $(PEERS)/.peers  ## measure training, rounding and the queue beside what they are compared with
	@$(BIN)/python -m benchmarks.training
	@$(BIN)/python -m benchmarks.rounding
	@$(BIN)/python -m benchmarks.queue_latency
	@$(BIN)/python -m benchmarks.service_load

targets: $(VENV)/.dev $(PEERS)/.targets  ## let torch, Keras, tf_keras and DeepSpeed read what translations write, and record it
	@$(BIN)/python -m tests.targets $(PEERS)/bin/python

chaos: $(VENV)/.dev  ## kill, freeze and starve every part in mid-training (CHAOS="--jobs 200 --seed 2")
	@$(BIN)/python -m pytest -m chaos
	@$(BIN)/python -m tests.chaos $(CHAOS)

image: $(VENV)/.dev  ## as root: build the image without a container engine, and train a job in it (IMAGE="--folder /kept")
	@$(BIN)/python -m tests.deployment $(IMAGE)

audit: $(VENV)/.dev  ## known holes in what the locks install; a finding fails
	@$(BIN)/python -m tests.audit requirements.lock requirements-dev.lock

lock: $(VENV)/.dev  ## resolve dependencies anew: the one target that changes versions
	@$(COMPILE) --extra build --output-file requirements.lock
	@$(COMPILE) --extra build --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	@$(subst pyproject.toml,benchmarks/training/peers.in,$(subst --universal,,$(COMPILE))) --output-file benchmarks/training/peers.lock
	@$(subst pyproject.toml,tests/targets/targets.in,$(subst --universal,,$(COMPILE))) --constraint benchmarks/training/peers.lock \
		--override tests/targets/overrides.txt --output-file tests/targets/targets.lock

clean:  ## remove the environment and everything that tools left
	@rm -rf $(VENV) $(PEERS) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "halfstep needs Python 3.11 or newer with venv: install it, or say make PYTHON=/path" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what running needs"
	@$(HASHED) -r requirements.lock
	@$(INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing what testing needs"
	@$(HASHED) -r requirements-dev.lock
	@touch $@

# The build of torch for CPUs alone is not on every index: pip has to be told where it is (docs/benchmarks.md).
$(PEERS)/.peers: benchmarks/training/peers.lock | $(BIN)/python
	@echo "installing the peers that are measured beside us: some 1 GB"
	@$(BIN)/python -m venv $(PEERS)
	@$(subst $(BIN),$(PEERS)/bin,$(HASHED)) -r benchmarks/training/peers.lock
	@touch $@

# DeepSpeed is a source distribution, whose set-up looks for the torch that is there; none of its operators is built.
$(PEERS)/.targets: tests/targets/targets.lock tests/targets/deepspeed.txt $(PEERS)/.peers
	@echo "installing the systems that read translated configs back"
	@$(subst $(BIN),$(PEERS)/bin,$(HASHED)) -r tests/targets/targets.lock
	@DS_BUILD_OPS=0 $(subst $(BIN),$(PEERS)/bin,$(INSTALL)) --require-hashes --no-deps --no-build-isolation -r tests/targets/deepspeed.txt
	@touch $@
