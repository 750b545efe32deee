"Facial landmarks: `flmk.predict(photo)` and `flmk.draw(photo, faces)`; nothing is loaded before it is used."
__version__ = "0.1.0"

from typing import TYPE_CHECKING

from . import operators as _operators                    # so that torchvision can be imported; imports no torch

if TYPE_CHECKING:
    from .core.files import InputError
    from .inference.faces import FaceDetector, find_faces
    from .inference.tables import Face
    from .predictor import draw, load_predictor, predict

__all__ = ['predict', 'draw', 'Face', 'FaceDetector', 'find_faces', 'load_predictor', 'InputError']

_home = dict(predict='predictor', draw='predictor', load_predictor='predictor', Face='inference.tables', FaceDetector='inference.faces',
             find_faces='inference.faces', InputError='core.files')


def __getattr__(name):
    "Load what is asked for, and only then."
    if name not in _home: raise AttributeError(f'module flmk has no attribute {name!r}')
    from importlib import import_module
    globals()[name] = value = getattr(import_module(f'flmk.{_home[name]}'), name)
    return value


def __dir__(): return sorted([*globals(), *__all__])


def _commands_on_path():
    "In a notebook, let `!flmk_prepare` find the commands beside the Python that runs it, however its kernel was started."
    import os, sysconfig
    folder, path = sysconfig.get_path('scripts'), os.environ.get('PATH', '')
    if folder not in path.split(os.pathsep): os.environ['PATH'] = folder + os.pathsep + path


try: __IPYTHON__                                         # IPython says so among the builtins
except NameError: pass
else: _commands_on_path()
