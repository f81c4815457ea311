# Every target sets up what it needs by itself; `make` alone tells what there is.

# A Python built without profile-guided optimisation, as pyenv builds it, takes up to 40 % longer for
# the same work. Where `python3` is such a one, or too old, the system's own is taken if it serves.
IS_FAST := import sys, sysconfig; \
  options = str(sysconfig.get_config_var("CONFIG_ARGS")); \
  is_fast = sys.base_prefix == "/usr" or "--enable-optimizations" in options; \
  sys.exit(not is_fast or sys.version_info < (3, 11))
SERVES := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
ifeq ($(strip $(PYTHON)),)
override PYTHON := $(shell if ! python3 -c '$(IS_FAST)' && /usr/bin/python3 -c '$(SERVES)'; \
  then echo /usr/bin/python3; else echo python3; fi 2>/dev/null)
endif
PYTEST_OPTIONS ?= -n 2 --dist loadgroup

VENV := .venv
BIN := $(VENV)/bin
# Touched when the environment agrees with requirements.txt and pyproject.toml.
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run demo bench bench-peers bench-reports test soak check lock clean

help: ## Tell what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## Make .venv with everything in it

run: $(INSTALLED) ## Serve the exchange with the demo market, until Ctrl-C
	@EXCHANGE_ALLOW_PRIVATE_ADDRESSES=1 exec $(BIN)/exchange serve --demo-market

demo: $(INSTALLED) ## Show a market at work, then leave
	@exec $(BIN)/exchange demo

bench: $(INSTALLED) ## Measure it beside bare servers, under 3 minutes (BENCH=full for longer)
	@exec $(BIN)/python -m benchmarks.run

bench-peers: $(INSTALLED) ## Measure its auction beside plain ones in FastAPI, Fastify and Go (PEERS=full)
	@exec $(BIN)/python -m benchmarks.peers

bench-reports: $(INSTALLED) ## Read every report over a year of ten million leads, in a few minutes
	@exec $(BIN)/python -m benchmarks.reports

test: $(INSTALLED) ## Run every test (PYTEST_OPTIONS="-x -k name" to choose)
	@$(BIN)/python -m pytest $(PYTEST_OPTIONS)

soak: $(INSTALLED) ## Kill whatever can die, 300 times amid 10,000 posts, and load bad bidders
	@exec $(BIN)/python -m tests.soak $(SOAK_OPTIONS)

check: $(INSTALLED) ## Format, lint, types, layers, then every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

lock: ## Pin and hash every requirements.in again
	@set -eu; work="$$(mktemp -d)"; trap 'rm -rf "$$work"' EXIT; \
	"$(PYTHON)" -m venv "$$work"; "$$work/bin/python" -m pip install --quiet uv; \
	for folder in . benchmarks/peers benchmarks/peers/go; do \
	  (cd "$$folder" && "$$work/bin/uv" pip compile --quiet --upgrade --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" requirements.in --output-file requirements.txt); \
	done; \
	if command -v npm >/dev/null; then \
	  cd benchmarks/peers/fastify && npm install --package-lock-only --ignore-scripts --no-audit \
	    --no-fund --loglevel=error --omit-lockfile-registry-resolved; \
	else echo "no npm: benchmarks/peers/fastify/package-lock.json stays as it is"; fi

clean: ## Remove what make and the tools made here (never the exchange's data)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache benchmarks/results/.peers
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; make PYTHON=/path/to/python3 names another")'
	@"$(PYTHON)" -c '$(IS_FAST)' || \
	  echo "note: $(PYTHON) was built without profile-guided optimisation, and is slower for it"
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@touch $@
