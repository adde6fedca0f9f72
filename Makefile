# One target per check; CI runs the same ones.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ORACLES := .venv-oracles
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: benchmark demo demo-search install test test-oracles test-slow lint types format tables check-tables

demo: install
	$(BIN)/ssl-keras demo

demo-search: install
	$(BIN)/ssl-keras search demo_search

install: $(STAMP)

$(STAMP): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cpu,dev]"
	touch $(STAMP)

test: install
	$(PYTEST) -m "not slow"

test-slow: install
	$(PYTEST) -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# PyTorch and an SSL library, as yardsticks, in an environment of their own. The library's own requirements would
# bring builds that do not fit together, so they are named here.
$(ORACLES)/.installed: Makefile
	test -x $(ORACLES)/bin/python || $(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/python -m pip install --quiet torch==2.13.0 numpy==2.4.6 pillow==13.0.0 lightning-utilities==0.15.3 pydantic==2.14.3
	$(ORACLES)/bin/python -m pip install --quiet --no-deps lightly==1.6.0 torchvision==0.29.2 lightly-utils==0.0.2 tqdm==4.70.1
	touch $@

# The same numbers as a library that nobody here wrote.
test-oracles: install $(ORACLES)/.installed
	ORACLES_PYTHON=$(ORACLES)/bin/python $(BIN)/python -m pytest tests/oracles

benchmark: install $(ORACLES)/.installed
	$(BIN)/python tools/benchmark.py speed --yardstick $(ORACLES)/bin/python

tables: install
	$(BIN)/python tools/tables.py

check-tables: install
	$(BIN)/python tools/tables.py --check
