# Two commands do all the set-up, each alone: `make digits` trains and draws, `make test` tests. What is installed stays in .venv, and
# a stamp there says for which pyproject.toml and constraints.txt, so that a second run installs nothing.

VENV := .venv
BIN := $(VENV)/bin
FIND := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
                    $$p -c '$(FIND)' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# A process for each core, at most eight since each takes a gigabyte, one thread in each; files of tests stay whole, since what a file sets up is shared by its tests.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

.PHONY: digits test check published bench clean

digits: $(VENV)/installed        ## install, train on the embedded digits, print and draw the result
	$(BIN)/chainrule train digits --test
	@echo "Drawn: $$(ls -td runs/digits-*/ | head -1)report.html and the .png files beside it"

test: $(VENV)/installed-test     ## install with what the tests need, run them in a process for each core
	$(PYTEST) tests

check: $(VENV)/installed-test    ## lint and types
	$(BIN)/ruff check .
	$(BIN)/mypy

published: $(VENV)/installed-test  ## published figures at full size: CHAINRULE_DATA names the folder with MNIST; an hour
	$(BIN)/python -m pytest -m published -s

bench: $(VENV)/installed-test    ## the engine's figures, printed
	$(BIN)/python -m chainrule.bench overhead
	$(BIN)/python -m chainrule.bench start
	$(BIN)/python -m chainrule.bench memory

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "chainrule needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv). Name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/installed-test: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	@touch $@ $(VENV)/installed
