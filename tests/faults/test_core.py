"Broken and hostile files, options and disks against what everything stands on: never anything but a result or one line."
import os
import pickle
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flmk.core.annotations import check_entry, check_name, format_list_line, parse_number_pairs, read_annotations, read_entries, read_pts
from flmk.core.files import check_range, image_size, InputError, load_json, load_pickle, OPTION_RANGES, printable, read_image
from flmk.core.prepare import prepare_folder
from flmk.render.sketch import sketch_challenge

sys.path.insert(0, str(Path(__file__).parent))
from make import annotation_files, flipped, image_files, picture  # noqa: E402

SEED = 0
few = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope='module')
def folder(tmp_path_factory): return tmp_path_factory.mktemp('faults')


def one_line(error, *words):
    line = str(error.value)
    assert line.isprintable() and len(line) < 700, line
    for word in words: assert word in line, (word, line)


def test_images(folder, monkeypatch):
    "Each gives its line, quickly, and Ghostscript is not started."
    (folder/'bin').mkdir(); (folder/'images').mkdir()
    gs = folder/'bin/gs'; gs.write_text(f'#!/bin/sh\ntouch {folder}/gs-ran\n'); gs.chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}/bin:{os.environ["PATH"]}')
    monkeypatch.chdir(folder)                               # a socket's name has at most 108 bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path, why in image_files(folder/'images', np.random.default_rng(SEED)):
        begin = time.process_time()
        with pytest.raises(InputError) as error: read_image(path)
        one_line(error, path.name, why)
        assert time.process_time() - begin < 5, path
        try: image_size(path)
        except InputError as e: assert path.name in str(e)
    assert not (folder/'gs-ran').exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 600_000     # kilobytes; bomb.png may take its 190 MB before it turns out to be cut


def test_annotations(folder):
    (folder/'annotations').mkdir()
    marker = folder/'was-here'
    for path, why in annotation_files(folder/'annotations', np.random.default_rng(SEED), marker):
        with pytest.raises(InputError) as error: prepare_folder(path, folder/'out')
        one_line(error, why)
    assert not marker.exists() and not (folder/'out').exists() and not (folder/'.out.part').exists()


@pytest.mark.parametrize('suffix', ['JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF'])
def test_flipped_bits_in_images(suffix, tmp_path):
    rng = np.random.default_rng(SEED)
    data = picture(rng, suffix)
    for k in range(150):
        path = tmp_path/f'{k}.jpg'
        path.write_bytes(flipped(data, rng, 1 + k % 8)[:len(data) if k % 3 else int(rng.integers(len(data)))])
        try: assert read_image(path).dtype == np.uint8
        except InputError as e: assert str(e).isprintable()


def test_flipped_bits_in_annotations(tmp_path):
    rng = np.random.default_rng(SEED)
    data = pickle.dumps((['a.jpg', 'b.jpg'], [[tuple(p) for p in rng.uniform(0, 384, (68, 2))], np.float32(rng.uniform(0, 384, (68, 2)))]), 4)
    for k in range(400):
        (tmp_path/'annot.pkl').write_bytes(flipped(data, rng, 1 + k % 4))
        try: read_entries(tmp_path)
        except InputError as e: assert str(e).isprintable()


# What is parsed, by hypothesis: a result or an InputError.
plain = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), lambda o: st.lists(o, max_size=5) | st.tuples(o, o), max_leaves=20)


@few
@given(plain)
def test_any_data_as_annotations(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp()/'any'; path.mkdir(exist_ok=True)
    (path/'annot.pkl').write_bytes(pickle.dumps(data))
    try: names, landmarks = read_annotations(path)
    except InputError as e: assert str(e).isprintable()
    else: assert len(names) == len(landmarks) > 0


@few
@given(st.binary(max_size=200))
def test_any_bytes_as_a_pickle(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp()/'any.pkl'
    if b'r' in data or b'j' in data: return                # an index of 4 bytes into a table that Python makes so long
    path.write_bytes(data)
    try: load_pickle(path)
    except InputError as e: assert str(e).isprintable()


@few
@given(plain, plain)
def test_any_entry(name, landmarks):
    try: assert check_entry(name, landmarks, set()).shape == (68, 2)
    except InputError as e: assert str(e).isprintable()


@few
@given(st.text())
def test_any_name(name):
    "A name that passes makes one line of 140 fields, and can be encoded."
    try: stem = check_name(name)
    except InputError: return
    line = format_list_line(f'imgs/{stem}.png', np.zeros((68, 2)), (0, 0, 0))
    assert len(line.split()) == len(line.split(' ')) == 140 and len(line.splitlines()) == 1 and line.encode()


@few
@given(st.binary() | st.lists(st.tuples(st.floats(), st.floats()), min_size=66, max_size=70).map(
    lambda o: f'version: 1\nn_points: {len(o)}\n{{\n'.encode() + '\n'.join(f'{x} {y}' for x, y in o).encode() + b'\n}\n'))
def test_any_pts(data):
    for read in read_pts, lambda text: parse_number_pairs(text, 68):
        try: assert read(data).shape == (68, 2)
        except InputError as e: assert str(e).isprintable()


@few
@given(st.text() | st.binary() | plain.map(repr))
def test_any_json(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp()/'any.json'
    path.write_bytes(text if isinstance(text, bytes) else text.encode('utf-8', 'surrogatepass'))
    try: load_json(path)
    except InputError as e: assert str(e).isprintable()


@few
@given(st.sampled_from(sorted(OPTION_RANGES)), st.integers() | st.floats() | st.text())
def test_any_option(name, value):
    low, high = OPTION_RANGES[name]
    try: check_range(name, value, low, high)
    except InputError as e: assert f'--{name}' in str(e) and f'{high:g}' in str(e) or str(high) in str(e)
    else: assert low <= value <= high


@few
@given(st.text(), st.integers(5, 100))
def test_any_text_is_printable(text, longest):
    shown = printable(text, longest)
    assert shown.isprintable() and shown.encode() is not None


def call(name, *args, limit=None, cwd=None):
    bound = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))) if limit else None
    return subprocess.run([str(Path(sys.executable).with_name(name)), *map(str, args)], capture_output=True, text=True, preexec_fn=bound, cwd=cwd, timeout=200)


def refused(done, *words):
    assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
    for word in words: assert word in done.stderr, done.stderr


@pytest.mark.parametrize('option, value', [('size', -1), ('size', 1_000_000), ('size', 0), ('workers', -1), ('workers', 0), ('workers', 10**9)])
def test_options_of_prepare(option, value, tmp_path):
    refused(call('flmk_prepare', f'--{option}', value, '--data', tmp_path/'out'), f'--{option} {value} is out of range')
    assert not (tmp_path/'out').exists()


@pytest.mark.parametrize('option, value', [('n', -1), ('n', 0), ('n', 10**12), ('seed', -1), ('seed', 10**20), ('size', 1_000_000), ('workers', -1)])
def test_options_of_faces(option, value, tmp_path):
    refused(call('flmk_faces', f'--{option}', value, '--out', tmp_path/'out'), f'--{option} {value} is out of range')
    assert not (tmp_path/'out').exists()


def test_ranges_are_in_the_help():
    assert 'from 16 to 4096' in ' '.join(call('flmk_prepare', '--help').stdout.split())


def test_places_that_cannot_be_written(tmp_path):
    source = sketch_challenge(tmp_path/'source', 3, 2, 0, size=64)
    (tmp_path/'file').write_text('mine')
    prepare = lambda data, **kw: call('flmk_prepare', '--source', source, '--data', data, '--size', 32, **kw)
    refused(prepare(tmp_path/'file'), 'file')
    refused(prepare('x'*5000, cwd=tmp_path), 'name too long')
    refused(prepare(tmp_path/'full', limit=1000), 'File too large')
    (tmp_path/'foreign/AFLW_train_data').mkdir(parents=True); (tmp_path/'foreign/AFLW_train_data/thesis.txt').write_text('mine')
    refused(prepare(tmp_path/'foreign'), 'AFLW_train_data', 'delete it, or choose another')
    assert (tmp_path/'file').read_text() == (tmp_path/'foreign/AFLW_train_data/thesis.txt').read_text() == 'mine'
    assert prepare(tmp_path/'full').returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_read_only(tmp_path):
    source = sketch_challenge(tmp_path/'source', 3, 2, 0, size=64)
    (tmp_path/'out').mkdir(mode=0o500)
    refused(call('flmk_prepare', '--source', source, '--data', tmp_path/'out', '--size', 32), 'Permission denied')


def test_a_broken_note(tmp_path):
    (tmp_path/'faces').mkdir(); (tmp_path/'faces/faces.json').write_text('{"seed": ')
    refused(call('flmk_faces', '--n', 1, '--size', 32, '--out', tmp_path/'faces'), 'faces.json is broken')


def test_killed_at_any_moment(tmp_path):
    "kill -9 at moments that a seed chooses, then the same command: the same folder, and nothing left beside it."
    rng, source = np.random.default_rng(SEED), sketch_challenge(tmp_path/'source', 200, 10, 0, size=96)
    args = lambda data: ['--source', source, '--data', data, '--size', 64, '--workers', 1]
    assert call('flmk_prepare', *args(tmp_path/'whole')).returncode == 0
    content = lambda folder: {str(o.relative_to(folder)): o.read_bytes() for o in sorted(folder.rglob('*')) if o.is_file()}
    for k in range(int(os.environ.get('FLMK_KILLS', 2))):
        job = subprocess.Popen([str(Path(sys.executable).with_name('flmk_prepare')), *map(str, args(tmp_path/f'{k}'))], stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(.2, 1.5)); job.kill(); job.wait()
        assert call('flmk_prepare', *args(tmp_path/f'{k}')).returncode == 0
        assert content(tmp_path/f'{k}') == content(tmp_path/'whole')
