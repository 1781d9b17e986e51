# One command does everything: `make up`. It needs make and Python 3.11 or newer, nothing else.

VENV := .venv
RUN := $(VENV)/bin/python
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
NPM_QUIETLY := --no-audit --no-fund --no-update-notifier --loglevel=error --fetch-retries=1
PIP := $(RUN) -m pip --disable-pip-version-check
COMPILE := uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	--no-annotate --no-header
COMPILE_RUN := $(COMPILE) --extra embedded --extra archive --group build pyproject.toml
CLIENTS := .venv-clients
NODE_CLIENTS := tests/clients/node
ARGS ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help up test check bench bench-reports chaos lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

up: $(VENV)/run.stamp ## Start everything on http://127.0.0.1:8000; Ctrl-C stops it
	@exec $(RUN) -m tripstream up

# In order of files: those with one long test would else come last, and all other workers wait for the one that has it.
test: $(VENV)/dev.stamp $(CLIENTS)/stamp $(NODE_CLIENTS)/node_modules/stamp ## Run the whole test suite, on servers of its own (ARGS="-k word", WORKERS=2)
	@exec $(RUN) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/dev.stamp ## Lint, format, types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: $(VENV)/dev.stamp ## Measure, and print the figures
	@exec $(RUN) -m bench $(ARGS)

bench-reports: $(VENV)/dev.stamp ## Measure every report over 1 and 12 million events (ARGS="1000000")
	@exec $(RUN) -m bench.reports $(ARGS)

chaos: $(VENV)/dev.stamp ## Kill things while events flow, and count what is left
	@CHAOS_FAULTS=$${CHAOS_FAULTS:-300} exec $(RUN) -m pytest tests/chaos $(ARGS)

lock: ## Pin the newest versions that pyproject.toml allows, with hashes
	$(call require-python)
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(PYTHON) -m venv "$$dir"; "$$dir/bin/python" -m pip install --disable-pip-version-check -q uv; \
	PATH="$$dir/bin:$$PATH"; set -x; \
	$(COMPILE_RUN) -o requirements/run.txt; \
	$(COMPILE_RUN) --group dev -o requirements/dev.txt; \
	$(COMPILE) --group clients -o requirements/clients.txt; \
	cd $(NODE_CLIENTS); npm update --package-lock-only --omit-lockfile-registry-resolved $(NPM_QUIETLY)

clean: ## Remove the virtual environment and every cache; your data stays
	rm -rf $(VENV) $(CLIENTS) $(NODE_CLIENTS)/node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	$(call install,requirements/run.txt)

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(call install,requirements/dev.txt)

# Official SDKs, which tests drive as clients. They pin what we do not, so they live apart. Where Node or a package index
# is missing the tests go on without, and say so; with CI=true they fail.
$(CLIENTS)/stamp: requirements/clients.txt
	$(call require-python)
	@echo "installing requirements/clients.txt into $(CLIENTS)"
	@rm -rf $(CLIENTS)
	@{ $(PYTHON) -m venv $(CLIENTS) && \
		$(CLIENTS)/bin/python -m pip install -q --disable-pip-version-check --retries 1 --require-hashes -r $< && \
		touch $@; } || echo "NOT INSTALLED: the Python SDKs; tests that drive them are left out" >&2

$(NODE_CLIENTS)/node_modules/stamp: $(NODE_CLIENTS)/package-lock.json
	@echo "installing $< into $(@D)"
	@rm -f $@
	@{ cd $(NODE_CLIENTS) && npm ci --ignore-scripts $(NPM_QUIETLY) && \
		touch node_modules/stamp; } || echo "NOT INSTALLED: the Node SDKs; tests that drive them are left out" >&2

# A virtual environment that an interrupt cut short has no working pip: it is made anew.
define install
	$(call require-python)
	@$(PIP) --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "installing $(1) into $(VENV)"
	@$(PIP) install -q --require-hashes -r $(1)
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@
endef

define require-python
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
endef
