"""Coverage-guided fuzzing, by hand: `pip install atheris`, then `python tests/faults/fuzz.py pickle` (or solution, mat, pts) `-max_total_time=1800`.

Whatever the bytes, the reader gives a result or an `InputError`, in bounded time and memory. A find is written to a file `crash-...`; it belongs into `test_finds.py`, beside this."""
import os
import pickle
import struct
import sys
import tempfile
from pathlib import Path

try: import atheris
except ModuleNotFoundError: sys.exit('atheris is not installed: pip install atheris (Linux and macOS, CPython)')

with atheris.instrument_imports(include=['flmk.core.files', 'flmk.core.annotations', 'flmk.core.solution', 'flmk.tools.datasets']):
    from flmk.core.annotations import read_entries, read_pts
    from flmk.core.files import InputError
    from flmk.core.solution import _read_solution, check_solution
    from flmk.tools.datasets import read_mat

import numpy as np  # noqa: E402

# The C unpickler shows a fuzzer nothing. The standard library has the same machine in Python; run beside it, it tells which bytes lead somewhere new.
for step in set(pickle._Unpickler.dispatch.values()): atheris.instrument_func(step)
SCRATCH = Path(tempfile.mkdtemp(dir='/dev/shm' if Path('/dev/shm').is_dir() else None))


class Shown(pickle._Unpickler):
    def find_class(self, module, name):
        from flmk.core.files import _admitted
        return _admitted[module, name]
    def persistent_load(self, pid): raise pickle.UnpicklingError


def fuzz_pickle(data):
    (SCRATCH/'annot.pkl').write_bytes(data)
    try: read_entries(SCRATCH)
    except InputError as e:
        assert str(e).isprintable()
        if 'higher' in str(e) or 'dictionary' in str(e): return          # the teacher below would follow
    if b'\x96' in data: return                                           # the teacher makes a bytearray as long as it is told, and ran out of memory; the reader does not
    import io
    try: Shown(io.BytesIO(data)).load()
    except Exception: pass


def fuzz_solution(data):
    (SCRATCH/'solution.txt').write_bytes(data)
    try: complaints = check_solution(SCRATCH/'solution.txt')
    except InputError as e: assert str(e).isprintable(); return
    assert len(complaints) <= 100 and all(isinstance(c, str) and len(c) < 700 and c.isprintable() for c in complaints), complaints
    if not complaints:                                                   # what passes is what the challenge's reader takes
        for line in _read_solution(SCRATCH/'solution.txt')[0].decode().removesuffix('\n').split('\n'):
            name, *values = line.split(' ')
            assert name and len(values) == 136 and np.isfinite(np.array(values, float)).all()


def fuzz_mat(data):
    try: assert read_mat(data).shape == (68, 2)
    except InputError as e: assert str(e).isprintable()


def fuzz_pts(data):
    try: assert read_pts(data).shape == (68, 2)
    except InputError as e: assert str(e).isprintable()


def give_up(*error):
    "For errors that Python can only print, such as those of a destructor: end, so that the input is kept."
    print(error, file=sys.stderr, flush=True)
    os.abort()


def seeds(what):
    "What is right, to begin with."
    points = [(k + .5, 2.*k) for k in range(68)]
    if what == 'pickle':
        arrays = np.arange(136.).reshape(68, 2), np.arange(136, dtype='>f4').reshape(68, 2), np.array(points, object)
        whole = [(['a.jpg'], [points]), (np.array(['a.jpg', 'b.jpg']), list(arrays[:2])), (['a'], [arrays[2]]), ([], []), ([np.str_('a')], [[(np.float32(1), np.int64(2))]])]
        return [pickle.dumps(o, p) for o in whole for p in range(6)]
    line = 'a.jpg ' + ' '.join(f'{v:.1f}' for v in np.ravel(points))
    if what == 'solution':
        import io
        import zipfile
        zips = []
        for how in zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED:
            with zipfile.ZipFile(f := io.BytesIO(), 'w', how) as z: z.writestr('solution.txt', line + '\n')
            zips.append(f.getvalue())
        return [(line + '\n').encode(), (line + '\n' + line.replace('a.', 'b.') + '\n').encode(), *zips]
    if what == 'pts': return [('version: 1\nn_points: 68\n{\n' + '\n'.join(f'{x} {y}' for x, y in points) + '\n}\n').encode()]
    element = lambda kind, body: struct.pack('<II', kind, len(body)) + body + b'\0'*(-len(body) % 8)
    array = element(14, element(6, struct.pack('<II', 6, 0)) + element(5, struct.pack('<ii', 3, 68)) + element(1, b'pt3d_68') + element(9, np.arange(204.).tobytes()))
    import zlib
    packed = zlib.compress(array)
    head = b'MATLAB 5.0'.ljust(124) + b'\0\1IM'
    return [head + array, head + struct.pack('<II', 15, len(packed)) + packed]


def main():
    what, *flags = sys.argv[1:]
    sys.excepthook = sys.unraisablehook = give_up
    corpus = Path(tempfile.mkdtemp())
    for k, data in enumerate(seeds(what)): (corpus/f'{k}').write_bytes(data)
    where = next((f for f in flags if not f.startswith('-')), None)      # a folder that keeps the corpus from one run to the next
    atheris.Setup([sys.argv[0], *([where] if where else []), str(corpus), '-rss_limit_mb=2000', '-timeout=20', '-seed=22', *(f for f in flags if f != where)], globals()[f'fuzz_{what}'])
    atheris.Fuzz()


if __name__ == '__main__': main()
