__version__ = "0.1.0"

# PyPI's only Linux build of torchvision is made for CUDA. Beside a CPU build of torch its compiled operators do not load,
# and importing it then fails on describing `nms`, which nothing here calls: declaring the two schemas is enough.
def _declare_missing_operators():
    from importlib.util import find_spec
    from pathlib import Path
    import torch
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

_operators = _declare_missing_operators()   # kept: the schemas live as long as this object
