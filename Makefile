# `make demo` and `make test` need Python 3.11, make and git, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# one thread a worker: the tests' tensors are small, and threads of several workers only wait for one another
RUN := OMP_NUM_THREADS=1 $(BIN)/python

.PHONY: install demo test test-slow test-stream test-mjlab test-isaaclab fuzz lint clean

install: .venv/installed

demo: install
	$(BIN)/python scripts/demo.py

test: install
	$(RUN) -m pytest -n auto --maxprocesses 8

# what needs the package index: is the package installable where Isaac Sim holds its pins?
test-slow: install
	$(RUN) -m pytest -m slow

# ten minutes of a live stream to consumers that are slow, dead, and come and go; STREAM_SECONDS varies it
test-stream: install
	$(RUN) -m pytest -s -m stream tests/streaming

# the tasks in mjlab itself, on a CPU; in an environment of its own, 2.4 GB that nothing else here needs
test-mjlab: .venv-mjlab/installed
	OMP_NUM_THREADS=1 .venv-mjlab/bin/python -m pytest -m 'not fuzz' -k mjlab tests/tasks tests/scripts

# the tasks in Isaac Lab itself, on a CPU and without Isaac Sim (see tests/isaac_standin); in an environment of its own, 2 GB
test-isaaclab: .venv-isaaclab/installed
	OMP_NUM_THREADS=1 .venv-isaaclab/bin/python -m pytest -W ignore::pytest.PytestUnraisableExceptionWarning tests/isaac

# damaged files of every format: motion or a clear error, and nothing else; FUZZ_INPUTS and FUZZ_SEED vary it
fuzz: install
	$(RUN) -m pytest -m fuzz -n auto --maxprocesses 8 tests/fuzz

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf .venv .venv-mjlab .venv-isaaclab build dist outputs .pytest_cache .ruff_cache

.venv/installed: pyproject.toml setup.py constraints.txt exts/g1_vq_retarget/config/extension.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# only its G1 model is read, as the truth for ours; without it those tests are skipped
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mjlab==1.6.0
	touch $@

.venv-mjlab/installed: pyproject.toml setup.py constraints.txt exts/g1_vq_retarget/config/extension.toml
	$(PYTHON) -m venv .venv-mjlab
	.venv-mjlab/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mjlab,deployment]' pytest
	# rsl_rl asks for it and these tasks never import it; a build for CUDA fails beside torch for the CPU
	.venv-mjlab/bin/pip uninstall --quiet --yes torchvision
	touch $@

ISAACLAB := pyproject.toml setup.py constraints-isaaclab.txt tests/isaac/requirements.txt exts/g1_vq_retarget/config/extension.toml
.venv-isaaclab/installed: $(ISAACLAB)
	$(PYTHON) -m venv .venv-isaaclab
	.venv-isaaclab/bin/pip install --quiet --disable-pip-version-check -c constraints-isaaclab.txt -r tests/isaac/requirements.txt -e '.[isaaclab]'
	.venv-isaaclab/bin/pip install --quiet --disable-pip-version-check --no-deps -c constraints-isaaclab.txt isaaclab rsl-rl-lib
	touch $@
