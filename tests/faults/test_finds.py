"What fuzzing has found, kept: each was a crash, gigabytes, or centuries, and is a line now. What `fuzz.py` finds next belongs here."
import pickle
import resource

import numpy as np
import pytest

from flmk.core.annotations import read_entries
from flmk.core.files import InputError


class Array:
    "An array in a pickle that says of itself whatever it is told to."
    def __init__(self, *state): self.state = state
    def __reduce__(self): return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b'b'), (1, *self.state)


def doubled(n, kind=list):
    "A list of the same list twice, of the same list twice, and so on: few bytes, and 2**n numbers to whoever unfolds it."
    o = kind([1., 2.])
    for _ in range(n): o = kind([o, o])
    return o


same = b')' + b'2\x86'*60                                               # a tuple of the same tuple twice, sixty deep
FINDS = {
    'objects over bytes of the file': pickle.dumps((['a.jpg'], Array((3,), np.dtype([('a', 'O')]), False, bytes(24)))),
    'objects by their addresses': pickle.dumps((['a.jpg'], Array((3,), np.dtype('O'), False, bytes(24)))),
    'more content than there is': pickle.dumps((['a.jpg'], Array((68, 200), np.dtype('f8'), False, bytes(24)))),
    'a negative shape': pickle.dumps((['a.jpg'], Array((-3, -1), np.dtype('f8'), False, bytes(24)))),
    'text beyond Unicode': pickle.dumps((Array((1,), np.dtype('U1'), False, b'\xff\xff\xff\x7f'), [[(1., 2.)]*68])),
    'a number of an object': b']r\x00\x00\x00\x10.',
    'a number in text': b'(p999999999\n.',
    'a key of tuples': b'\x80\x04}' + same + b'Ns.',
    'a set of tuples': b'\x80\x04(' + same + b'\x91.',
    'a bytearray longer than any memory': b'\x96' + b'\x1d'*59,        # CPython printed a SystemError of its own beside ours
    'bytes longer than the file': b'\x8e' + (10**12).to_bytes(8, 'little') + b'abc.',
    'lists in lists': pickle.dumps((['a.jpg'], [[doubled(40)]*68])),
    'tuples in tuples': pickle.dumps((['a.jpg'], [[doubled(40, tuple)]*68])),
    'a name of lists': pickle.dumps(([doubled(40)], [[(1., 2.)]*68])),
}


@pytest.mark.parametrize('name', FINDS)
def test_pickles(name, tmp_path, capfd):
    "Each gives an `InputError`, or an entry that is named as a bad one, in bounded memory, and nothing else is said."
    (tmp_path/'annot.pkl').write_bytes(FINDS[name])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try: good, bad = read_entries(tmp_path)
    except InputError as e: assert str(e).isprintable() and 'annot.pkl' in str(e) and len(str(e)) < 700
    else: assert good == [] and len(bad) == 1 and all(o.isprintable() and len(o) < 700 for o in bad[0])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000      # kilobytes
    assert capfd.readouterr() == ('', '')
