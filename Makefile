# make demo   the whole way on a small practice set        make lab    open the notebooks in JupyterLab
# make test   every notebook and the commands' tests       make install is done by each of them
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install demo test lab clean

install: .venv/installed

.venv/installed: constraints.txt settings.ini setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -c constraints.txt torchvision
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/nbdev_install_hooks; fi
	touch $@

demo: install
	$(BIN)/flmk_demo

test: install
	$(BIN)/python -m pytest -q tests

lab: install
	$(BIN)/jupyter lab nbs

clean:
	rm -rf .venv build dist *.egg-info
