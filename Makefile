# Every target makes the virtual environment and installs what it needs, once.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UI_PORT = $(or $(PORT),3000)
DASHBOARD_PORT = $(or $(PORT),8050)
export DAGSTER_HOME ?= $(CURDIR)/.dagster
export CIRCUIT_LAKE_ROOT ?= $(CURDIR)/lake
export OMP_WAIT_POLICY := passive

.PHONY: help demo ui dashboard sql prompt check catalog test lint bench recipe install clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
		printf '  make %-9s %s\n' "$$name" "$$what"; done

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV): about 2 minutes and 2 GB"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: $(VENV)/installed ## the study `embedded` from end to end, and what it found: about 4 minutes
	@started=$$(date +%s); \
	$(BIN)/python -m dagster_project.run embedded && \
	$(BIN)/python -m dagster_project.summary embedded && \
	echo "  make demo took $$(($$(date +%s) - started)) s, installation aside."

ui: $(VENV)/installed ## the Dagster UI on http://127.0.0.1:3000 (PORT=…)
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(UI_PORT)))' \
		2>/dev/null || { echo "Port $(UI_PORT) is taken: make ui PORT=3001"; exit 1; }
	@echo "Dagster UI: http://127.0.0.1:$(UI_PORT) in about 15 seconds; Ctrl-C ends it"
	@PYTHONWARNINGS='ignore:Function `dev_command`' \
		$(BIN)/dagster dev --host 127.0.0.1 --port $(UI_PORT) --log-level warning

dashboard: $(VENV)/installed ## circuits, clusters and features to look at, on http://127.0.0.1:8050 (PORT=…)
	@$(BIN)/python -m dashboards --port $(DASHBOARD_PORT)

sql: $(VENV)/installed ## a SQL prompt on the lake; SQL='loss_by_subset study=embedded'
	@$(BIN)/python -m dagster_project.lake.prompt $(SQL)

prompt: $(VENV)/installed ## the circuit of your own prompt: PROMPT='--clean "The baker" --answer " is"'
	@$(BIN)/python -m dagster_project.prompt $(or $(STUDY),embedded) \
		$(or $(PROMPT),--help)

check: $(VENV)/installed ## is every partition of the lake what it should be? CHECK=--mend
	@$(BIN)/python -m dagster_project.lake.check $(CHECK)

catalog: $(VENV)/installed ## mend the lake's catalog for DuckDB after the lake has moved
	@$(BIN)/python -m dagster_project.lake.catalog

test: $(VENV)/installed ## all tests
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed ## style, banned imports, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/installed ## time and memory of a study, by stage (STUDY=mine.toml)
	$(BIN)/python -m bench $(STUDY)

recipe: $(VENV)/installed ## train the shipped model and dictionaries again: 20 minutes
	$(BIN)/python -m dagster_project.recipe

install: $(VENV)/installed ## only the virtual environment

clean: ## remove the virtual environment
	rm -rf $(VENV)
