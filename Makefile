# Everything that a fresh machine needs is made here: .venv/ and build/ hold it all.
PYTHON ?= python3
BIN := .venv/bin

# The demo's own: a video (or a picture), a speech, where the result goes, a Wav2Lip checkpoint.
VIDEO ?=
AUDIO ?=
OUT ?=
WEIGHTS ?=
# Read by the recipes from the environment, so that no quote in a path can end a word.
export VIDEO AUDIO OUT WEIGHTS
# YuNet, a better face detector than the one that a package index gives: used where its file is at hand.
YUNET ?= $(firstword $(wildcard ../shared/data/models/face_detection_yunet_2026may.onnx))

REPOSITORY := $(if $(WEIGHTS),build/user_repository,build/model_repository)
SEED := 1247

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench render clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

demo: .venv/.demo $(REPOSITORY)/.exported ## Lip-sync a clip on an embedded Triton [VIDEO= AUDIO= OUT= WEIGHTS=]
	@$(BIN)/python -m demo --repository $(REPOSITORY) $${VIDEO:+--video "$$VIDEO"} \
		$${AUDIO:+--audio "$$AUDIO"} $${OUT:+--output "$$OUT"}

test: .venv/.dev build/model_repository/.exported ## Run every test that can run on this machine
	$(BIN)/pytest --durations=15

check: .venv/.dev ## Format, lint, types, import rules, rendered configuration
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m lipserve_server.repository --check

format: .venv/.dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

render: .venv/.dev ## Write model_repository/ from lipserve/contracts.py
	$(BIN)/python -m lipserve_server.repository

bench: .venv/.dev build/model_repository/.exported ## Measure speed and memory into build/bench/report.json
	$(BIN)/python -m bench

clean: ## Remove what was built (not the virtual environment)
	rm -rf build

# torch comes first: what follows is content with the build that is there.
.venv/.demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e '.[server,export,demo]'
	@touch $@

.venv/.dev: .venv/.demo
	$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@

EXPORTER := $(wildcard export/lipserve_export/*.py export/lipserve_export/*/*.py) lipserve/contracts.py
build/model_repository/.exported: $(EXPORTER) $(YUNET) | .venv/.demo
	$(BIN)/lipserve-export all -o build/model_repository --random-seed $(SEED) $(if $(YUNET),--yunet '$(YUNET)')
	@touch $@

# Made again on every call: the checkpoint may be another one.
.PHONY: build/user_repository/.exported
build/user_repository/.exported: | .venv/.demo
	$(BIN)/lipserve-export all -o build/user_repository --checkpoint "$$WEIGHTS" $(if $(YUNET),--yunet '$(YUNET)')
