"""What has to be done before torch and torchvision are imported: how long waiting threads spin, and operators that are declared."""
# PyPI's only Linux build of torchvision is made for CUDA. Beside a CPU build of torch its compiled operators do not load, and
# importing it then fails on describing `nms`, which nothing here calls: declaring two schemas is enough. That must happen before
# torchvision is imported, whoever imports it, so a finder waits for its name. It costs nothing until then: torch is imported by it,
# not by this file. flmk/__init__.py imports this file, and `make install` puts a copy of it, with a .pth file that imports the
# copy, among the packages of .venv, so that a notebook which never mentions flmk works too.
import os
import sys
from importlib.util import find_spec
from pathlib import Path

# Threads of PyTorch that wait for one another spin, 300,000 times before they sleep. Beside another program they take the core from the
# very thread that they wait for: an epoch of 20 seconds took four minutes. To sleep at once (OMP_WAIT_POLICY=PASSIVE) makes small steps
# half as fast or less where nothing else runs. A short spin has both. GNU's OpenMP reads this once, when torch is loaded; a choice of
# the user's stays.
if not {'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'} & {*os.environ}: os.environ['GOMP_SPINCOUNT'] = '10000'


def _declare_operators():
    "Load torchvision's compiled operators, or else declare `nms` and `qnms`; returns what keeps the schemas alive."
    try: import torch
    except ImportError: return None                      # torchvision says so itself
    try:
        for lib in Path(find_spec('torchvision').origin).parent.glob('_C.*'): torch.ops.load_library(lib)
    except OSError: pass
    lib = torch.library.Library('torchvision', 'FRAGMENT')
    for name in 'nms', 'qnms':
        if not hasattr(torch.ops.torchvision, name): lib.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    return lib


class DeclareOperators:
    "A finder that finds nothing: it declares the operators when torchvision is looked for the first time."
    waiting = True
    def find_spec(self, name, path=None, target=None):
        if name != 'torchvision' or not DeclareOperators.waiting: return
        DeclareOperators.waiting = False
        if find_spec(name): DeclareOperators.lib = _declare_operators()


if 'torchvision' not in sys.modules: sys.meta_path.insert(0, DeclareOperators())
