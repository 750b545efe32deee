"""Import this before torchvision or fastai: it declares torchvision's operators where their compiled library does not load."""
# PyPI's only Linux build of torchvision is made for CUDA. Beside a CPU build of torch its compiled operators do not load,
# and importing it then fails on describing `nms`, which nothing here calls: declaring the two schemas is enough.
from importlib.util import find_spec
from pathlib import Path

import torch

def _declare_missing():
    spec = find_spec('torchvision')
    if spec is None: return
    try:
        for lib in Path(spec.origin).parent.glob('_C.*'): torch.ops.load_library(lib)
    except OSError: pass
    lib = torch.library.Library('torchvision', 'FRAGMENT')
    for name in 'nms', 'qnms':
        if not hasattr(torch.ops.torchvision, name):
            lib.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    return lib

_operators = _declare_missing()   # kept: the schemas live as long as this object
