# Everything runs in .venv at the root of the checkout.
VENV := .venv
READY := $(VENV)/.ready
ARGS ?=
# Real processes at their real rates want the machine to themselves, and get it in `make test`; those of `make check`
# wait more than they compute (two at once 5 min 30 s, one after the other 9 min 38 s).
ALONE := tests/nodes tests/faults
BESIDE := --ignore tests/nodes --ignore tests/faults
AT_ONCE := --numprocesses 2 --dist loadfile
# A machine that stands still for a second meets real processes in mid-motion. Few may try again, and it is shown
# what went wrong; rows of the fault table see to their second trial themselves.
SECOND_TRIES := --reruns 1 --max-suite-reruns 4 --rerun-exclude-path tests/faults --rerun-show-tracebacks

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check faults timing soak mutants engines format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv and install everything; seconds when nothing changed

$(READY): setup.py constraints.txt tools/setup.sh
	@tools/setup.sh $(VENV)
	@touch $@

demo: setup ## The simulated robot does its task, on real ROS 2; options in ARGS="--task place_to_pot"
	@$(VENV)/bin/svam demo $(ARGS)

lint: setup ## Format, style, types and layers
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check: lint ## The same and the fast tests; before every commit
	$(VENV)/bin/pytest -m "not slow and not gpu" $(BESIDE) $(AT_ONCE)
	$(VENV)/bin/pytest -m "not slow and not gpu" $(ALONE) $(AT_ONCE) $(SECOND_TRIES)

test: setup ## All tests; a few options in ARGS="-k guard"
ifeq ($(ARGS),)
	@beside=0; alone=0; \
	$(VENV)/bin/pytest $(BESIDE) $(AT_ONCE) || beside=$$?; \
	$(VENV)/bin/pytest $(ALONE) $(SECOND_TRIES) || alone=$$?; \
	test $$beside = 0 -a $$alone = 0
else
	$(VENV)/bin/pytest $(ARGS)
endif

faults: setup ## Every row of the fault table 20 times, with a table of times; ARGS="--trials 3 --rows 1 18"
	PYTHONPATH=tests $(VENV)/bin/python -m faults.campaign $(ARGS)

timing: setup ## How late the guard is beside a busy network; ARGS="--stops 10 --seconds 20"
	PYTHONPATH=tests $(VENV)/bin/python -m faults.timing $(ARGS)

soak: setup ## Random faults for 30 minutes; ARGS="--hours 8 --seed 3"
	PYTHONPATH=tests $(VENV)/bin/python -m faults.soak $(ARGS)

mutants: setup ## Remove every statement of the guard in turn: a test must notice
	PYTHONPATH=tests $(VENV)/bin/python -m mutation.campaign $(ARGS)

engines: setup build/random_$(or $(ARGS),cobot)/manifest.json ## TensorRT engines for an RTX 3090, built without one: full width, random weights; ARGS=tiny for a trial
	$(VENV)/bin/svam build-engine --model build/random_$(or $(ARGS),cobot) --engine tensorrt --target sm86

build/random_%/manifest.json: | setup
	$(VENV)/bin/python tools/write_random_model.py $* $(@D)

format: setup ## Bring the code into the house's form, and docs/reference.md up to date
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/python tools/reference_tables.py

clean: ## Remove .venv and everything that was built
	rm -rf $(VENV) build dist install log *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
