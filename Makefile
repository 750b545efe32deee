# make demo   the whole way on a small practice set        make lab    open the notebooks in JupyterLab
# make test   every notebook and the commands' tests       make web    the page that runs the model in a browser
# make record from nothing to a trained model in ten minutes
# make docs   the notebooks as a web site in _docs/
# make install is done by each of them
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install demo record test lab web site docs clean

install: .venv/installed

# torch first, torchvision by itself: PyPI's torchvision asks for a CUDA torch, which would replace one for the CPU.
.venv/installed: constraints.txt settings.ini setup.py flmk/operators.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -c constraints.txt torchvision
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  cp flmk/operators.py $$site/flmk_torchvision.py; echo 'import flmk_torchvision' > $$site/flmk_torchvision.pth   # see flmk/operators.py
	if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/nbdev_install_hooks; fi
	touch $@

demo: install
	$(BIN)/flmk_demo

record: install
	$(BIN)/flmk_record

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n auto --timeout 1200 tests

lab: install
	$(BIN)/jupyter lab nbs

DOCS ?= _docs

docs: install
	$(BIN)/python web/docs.py $(DOCS)

# The page: its own files, onnxruntime-web's for WebAssembly and for WebGPU, the detector, a landmark model, and what the page has
# to know of them. MODEL is an ONNX file of flmk_export, or a saved model.
SITE ?= web/dist
PORT ?= 8000
MODEL ?= flmk/assets/landmarks_small.onnx
ORT := web/node_modules/onnxruntime-web/dist

web: site
	@echo "The page is at http://localhost:$(PORT); stop it with Ctrl-C."
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) $(PORT)

site: web/node_modules/.package-lock.json install
	mkdir -p $(SITE)
	cp $(addprefix web/,index.html style.css app.js net.js flmk.js sw.js manifest.webmanifest) flmk/assets/faces.onnx $(SITE)
	cp $(addprefix $(ORT)/,ort.wasm.bundle.min.mjs ort-wasm-simd-threaded.wasm ort.webgpu.bundle.min.mjs ort-wasm-simd-threaded.asyncify.wasm) $(SITE)
	case '$(MODEL)' in *.onnx) cp '$(MODEL)' $(SITE)/landmarks.onnx;; *) $(BIN)/flmk_export '$(MODEL)' $(SITE)/landmarks.onnx;; esac
	$(BIN)/python web/describe.py $(SITE)

web/node_modules/.package-lock.json: web/package-lock.json
	@command -v npm >/dev/null || { echo 'make web needs npm, which comes with Node.js (https://nodejs.org)' >&2; exit 2; }
	npm ci --prefix web --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf .venv build dist _docs web/dist web/node_modules *.egg-info
