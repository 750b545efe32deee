"What is parsed, by hypothesis: from any bytes, and from good files with a few bytes changed, comes a result or an `InputError`; nothing else, and nothing that hangs."
import inspect
import io
import json
import os
import string
import struct
import zipfile
import zlib
from importlib import import_module

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flmk.commands import COMMANDS
from flmk.core.face_folder import read_face_list
from flmk.core.files import check_range, claim_folder, InputError, load_json, OPTION_RANGES
from flmk.core.points import IBUG68, scheme_dict, scheme_from_dict
from flmk.core.solution import check_solution
from flmk.tools.datasets import read_ldmks, read_mat
from flmk.tools.report import read_training_log

few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
points = [(k + .5, 2.*k) for k in range(68)]
LINE = 'a.jpg ' + ' '.join(f'{v:.1f}' for v in np.ravel(points))


def changed(data):
    "A few bytes of a good file changed, left out or put in."
    change = st.tuples(st.integers(0, len(data)), st.integers(0, 9), st.binary(max_size=9))
    def apply(changes):
        out = data
        for at, drop, put in changes: out = out[:at] + put + out[at + drop:]
        return out
    return st.lists(change, max_size=4).map(apply)


def zipped(text, how):
    with zipfile.ZipFile(f := io.BytesIO(), 'w', how) as z: z.writestr('solution.txt', text)
    return f.getvalue()


def mat(packed):
    element = lambda kind, body: struct.pack('<II', kind, len(body)) + body + b'\0'*(-len(body) % 8)
    array = element(14, element(6, struct.pack('<II', 6, 0)) + element(5, struct.pack('<ii', 3, 68)) + element(1, b'pt3d_68') + element(9, np.arange(204.).tobytes()))
    tight = zlib.compress(array)
    return b'MATLAB 5.0'.ljust(124) + b'\0\1IM' + (struct.pack('<II', 15, len(tight)) + tight if packed else array)


def told(error): assert str(error).isprintable() and len(str(error)) < 700


@few
@given(st.binary(max_size=400) | changed(mat(False)) | changed(mat(True)) | st.binary(max_size=99).map(lambda b: mat(False)[:128] + b))
def test_any_mat(data):
    try: assert read_mat(data).shape == (68, 2)
    except InputError as e: told(e)


def test_a_good_mat():
    for packed in False, True: np.testing.assert_array_equal(read_mat(mat(packed)), np.arange(204.).reshape(68, 3)[:, :2] - 1)


@few
@given(st.binary(max_size=400) | changed('\n'.join(f'{x} {y}' for x, y in points + points[:2]).encode()))
def test_any_ldmks(data):
    try: assert read_ldmks(data).shape == (68, 2)
    except InputError as e: told(e)


@few
@given(st.binary(max_size=400) | changed((LINE + '\n').encode()) | changed(zipped(LINE + '\n', zipfile.ZIP_STORED)) | changed(zipped(LINE + '\n', zipfile.ZIP_DEFLATED))
       | st.text().map(lambda t: f'{LINE}\n{t}'.encode('utf-8', 'replace')) | st.text().map(lambda t: LINE.replace('1.0', t).encode('utf-8', 'replace')))
def test_any_solution(tmp_path_factory, data):
    "At most a hundred complaints, each a line; what passes is 68 pairs of finite numbers to any reader of the format."
    path = tmp_path_factory.getbasetemp()/'solution.any'
    path.write_bytes(data)
    try: complaints = check_solution(path)
    except InputError as e: told(e); return
    assert len(complaints) <= 100 and all(c.isprintable() and len(c) < 700 for c in complaints)
    if complaints or zipfile.is_zipfile(path): return
    for line in data.decode().removesuffix('\n').split('\n'):
        name, *values = line.split(' ')
        assert name and len(values) == 136 and np.isfinite(np.array(values, float)).all() and not set(''.join(values)) - set(string.digits + '+-.eE')


@few
@given(st.binary(max_size=400) | changed(('imgs/a.png ' + LINE[6:] + ' 1 2 3\n').encode()) | st.lists(st.text(), max_size=140).map(lambda o: ' '.join(o).encode('utf-8', 'replace')))
def test_any_list(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp()/'list.any'
    path.write_bytes(data)
    try: names, numbers = read_face_list(path)
    except InputError as e: told(e)
    else: assert len(names) == len(numbers) > 0 and numbers.shape[1] == 139 and np.isfinite(numbers).all()


values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda o: st.lists(o, max_size=4) | st.dictionaries(st.text(), o, max_size=4), max_leaves=12)


@few
@given(values, st.sampled_from([None, *scheme_dict(IBUG68)]))
def test_any_json_as_a_scheme(said, field):
    "Any JSON at all, and a good description with one field that is anything."
    said = said if field is None else scheme_dict(IBUG68) | {field: said}
    try: assert scheme_from_dict(said).n_points > 0
    except InputError as e: told(e)


@few
@given(values | st.just({'seed': 1}))
def test_any_json_as_a_claim(tmp_path_factory, said):
    folder = tmp_path_factory.getbasetemp()/'claimed'; folder.mkdir(exist_ok=True)
    (folder/'faces.json').write_text(json.dumps(said))
    try: claim_folder(folder, dict(seed=1))
    except InputError as e: told(e)
    else: assert load_json(folder/'faces.json') == dict(seed=1)


@few
@given(st.binary(max_size=400) | changed(b'epoch,train_loss,valid_loss,nme,lr,seconds\n1,2.5,2.5,9.1,.001,3.2\n2,1.5,1.5,8.1,.001,3.1\n') | st.just(b'epoch,nme\n"' + b'x'*200_000))
def test_any_training_log(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()/'logged'; folder.mkdir(exist_ok=True)
    (folder/'train.logs').write_bytes(data)
    log = read_training_log(folder/'best.pth.tar')
    assert log is None or len({len(v) for v in log.values()}) == 1


def test_a_training_log_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path/'train.logs')
    assert read_training_log(tmp_path/'best.pth.tar') is None


def number_options(command):
    "Names and types of a command's options that are numbers."
    types = {k: getattr(p.annotation, 'type', p.annotation) for k, p in inspect.signature(command).parameters.items()}
    return [(k, t) for k, t in types.items() if t in (int, float)]


NUMBERS = {name: number_options(getattr(import_module(f'flmk.{module}'), name)) for name, module in COMMANDS.items()}
words = st.integers().map(str) | st.floats().map(str) | st.text(string.digits + 'eE+-._x', max_size=9) | st.text(max_size=9)


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_any_number_as_an_option(name, capsys):
    "Whatever is typed behind an option that is a number: argparse refuses it, or the range does, or it is a number within the range."
    @few
    @given(st.sampled_from(NUMBERS[name]), words)
    def _f(option, word):
        name, number = option
        try: value = number(word)
        except ValueError: return                                           # argparse: invalid int value
        low, high = OPTION_RANGES.get(name) or (-np.inf, np.inf)
        try: check_range(name, value, low, high)
        except InputError as e: told(e); assert f'--{name}' in str(e)
        else: assert low <= value <= high
    if NUMBERS[name]: _f()
