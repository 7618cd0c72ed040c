# Three commands: `make demo` shows the job done, `make test` does all that CI does, `make format` tidies.
# The environment is made in .venv on the first call, from pinned versions, and again only when the pins change.
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready

.PHONY: demo test lint format clean

demo: $(READY)
	$(BIN)/fanin demo

test: lint
	$(BIN)/python scripts/ensure_browser.py
	$(BIN)/python -m pytest -n auto

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fanin needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 demo")'
	@test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
