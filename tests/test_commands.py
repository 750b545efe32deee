"The commands, as a user types them: black-box, on sketch faces."
import csv
import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
import time
import zipfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from fastcore.script import anno_parser
from PIL import Image

import flmk.commands
from flmk.model_file import read_model_file
from flmk.render.generate import render_face
from flmk.render.sketch import sketch_challenge

root = Path(__file__).parent.parent
TRAIN = ['--img_size', '64', '--epochs', '2', '--per_epoch', '64', '--bs', '16']


def call(name, *args, cwd=None):
    return subprocess.run([str(Path(sys.executable).with_name(name)), *map(str, args)], capture_output=True, text=True, cwd=cwd)


def refused(done, *words):
    "One line on standard error with these words, exit status 2, no traceback."
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words: assert word in lines[0], lines[0]


@pytest.fixture(scope='session')
def source(tmp_path_factory):
    return sketch_challenge(tmp_path_factory.mktemp('challenge')/'AFLW/data', n_train=40, n_valid=12, n_test=6, size=96)


@pytest.fixture(scope='session')
def data(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('data')
    done = call('flmk_prepare', '--source', source, '--data', out, '--size', 64)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope='session')
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp('checkpoint')
    done = call('flmk_train', '--data', data, '--checkpoint', out, *TRAIN)
    assert done.returncode == 0, done.stderr
    return out/'best_model/best.pth.tar'


def test_a_training_in_a_log(data, tmp_path):
    "One line an epoch on standard output, and no bars, which went into the file; on a terminal they are drawn on standard error."
    args = ['flmk_train', '--data', data, '--checkpoint', tmp_path/'run', *TRAIN]
    done = call(*args)
    head, *rows = done.stdout.splitlines()[:-1]
    assert head.split() == ['epoch', 'train_loss', 'valid_loss', 'nme_metric', 'time'] and [r.split()[0] for r in rows] == ['1', '2']
    assert done.stdout.isascii() and '\r' not in done.stdout and done.stderr == ''
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    with open(tmp_path/'log', 'wb') as log, subprocess.Popen([script(args[0]), *map(str, args[1:]), '--overwrite'], stdout=log, stderr=theirs) as job:
        os.close(theirs)
        drawn = b''
        with suppress(OSError):                                  # the terminal is gone when the command ends
            while got := os.read(ours, 10_000): drawn += got
    os.close(ours)
    assert job.returncode == 0 and b'epoch 2' in drawn and b'0/4' in drawn         # a bar is drawn when it begins; whether at its end, too, depends on the machine's speed
    numbers = lambda text: [r.split()[:4] for r in text.splitlines()]
    assert numbers((tmp_path/'log').read_text()) == numbers(done.stdout)


def test_a_training_that_goes_on_from_a_model(data, model, tmp_path):
    "Network and input size are those of the file, which had to be typed again; another size may be given, the default one too."
    def trained(*args):
        done = call('flmk_train', '--data', data, '--checkpoint', tmp_path/'run', '--overwrite', '--epochs', 1, '--per_epoch', 16, '--bs', 16, *args)
        assert done.returncode == 0, done.stderr
        return read_model_file(tmp_path/'run/best_model/best.pth.tar')
    other = trained('--model', 'mobilenet_v3_small')
    assert (other['model'], other['img_size']) == ('mobilenet_v3_small', 112)
    init = '--init', shutil.copy(tmp_path/'run/best_model/best.pth.tar', tmp_path/'init.pth.tar')
    for args, size in (((), 112), (('--img_size=64',), 64), (('--img', 48), 48)):
        saved = trained(*init, *args)
        assert (saved['model'], saved['img_size'], saved['settings']['init']) == ('mobilenet_v3_small', size, 'init.pth.tar')
    assert trained('--init', model)['img_size'] == 64 and trained('--init', model, '--img_size', 112)['img_size'] == 112


COMMANDS = [l.split('=')[0] for l in re.findall(r'^    (flmk_.*)', (root/'settings.ini').read_text(), re.M)]
HEAVY = {'torch', 'torchvision', 'fastai', 'matplotlib', 'pandas', 'scipy', 'onnxruntime', 'IPython', 'distributed'}


def script(name): return Path(sys.executable).with_name(name)


@pytest.mark.parametrize('name', COMMANDS)
def test_help(name, monkeypatch):
    "Every argument is explained, by what the command really takes, and nothing heavy is imported for it."
    code = f"""import atexit, runpy, sys
sys.argv = [{str(script(name))!r}, '--help']
atexit.register(lambda: print('MODULES', *{{m.split('.')[0] for m in sys.modules}}))
runpy.run_path(sys.argv[0], run_name='__main__')"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=os.environ | dict(COLUMNS='200'))
    assert done.returncode == 0 and done.stdout.startswith(f'usage: {name}'), done.stderr
    shown, loaded = done.stdout.rsplit('MODULES', 1)
    assert not HEAVY & set(loaded.split())
    monkeypatch.setenv('COLUMNS', '200')
    command = getattr(import_module(f'flmk.{flmk.commands.COMMANDS[name]}'), name)
    assert shown.strip() == anno_parser(command.__wrapped__, name).format_help().strip()
    options = re.findall(r'^  (?:--?[\w-]+|[a-z_]+)[^\n]*(?:\n {10,}[^\n]*)*', shown, re.M)
    assert len(options) > 2 and not [o for o in options if not re.search(r'(\S  +|\n +)\w', o.strip())], shown


@pytest.mark.parametrize('name', COMMANDS)
def test_starts_fast(name):
    "Processor time of --help, against that of importing NumPy and OpenCV."
    def seconds(*args):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(o) for o in args], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ours, theirs = [], []
    for _ in range(12):
        ours.append(seconds(script(name), '--help')); theirs.append(seconds(sys.executable, '-c', 'import numpy, cv2'))
        if min(ours) <= 2.5*min(theirs): return
    assert min(ours) <= 2.5*min(theirs)


def test_import_is_light():
    "`import flmk` costs under 0.15 s of processor time beyond NumPy's and OpenCV's own imports."
    code = 'import time, numpy, cv2; start = time.process_time(); import flmk; print(time.process_time() - start)'
    assert min(float(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout) for _ in range(3)) < .15


def test_prepared(data):
    for name, n in (('AFLW_train_data', 40), ('AFLW_validation_data', 12)):
        lines = (data/name/'list.txt').read_text().splitlines()
        assert len(lines) == n and {len(l.split(' ')) for l in lines} == {140}
        assert np.load(data/name/'imgs.npy', mmap_mode='r').shape == (n, 64, 64, 3)


def test_prepare_again(source, data):
    done = call('flmk_prepare', '--source', source, '--data', data, '--size', 64)
    assert done.returncode == 0 and done.stdout.count('nothing to be done') == 2
    refused(call('flmk_prepare', '--source', source, '--data', data, '--size', 32), 'AFLW_train_data', 'delete it')


class Evil:
    def __reduce__(self): return os.system, ('touch was-here',)


def broken(names, landmarks):
    nan = [list(map(tuple, p)) for p in landmarks]
    nan = [[(float('nan'), 1.)] + p[1:] for p in nan]
    return {'not a pickle': b'\x80\x04short', 'not a pair': pickle.dumps([names]), 'system': pickle.dumps((names, Evil())),
            '(67, 2)': pickle.dumps((names, [p[:67] for p in landmarks])), 'NaN': pickle.dumps((names, nan)),
            'no image': pickle.dumps(([], [])), '5 file names but 4': pickle.dumps((names, landmarks[:-1]))}


@pytest.mark.parametrize('why', broken([], []))
def test_bad_annotations(why, tmp_path):
    source = sketch_challenge(tmp_path/'data', 5, 2, 0, size=64)
    annot = source/'synthetics_train/annot.pkl'
    annot.write_bytes(broken(*pickle.loads(annot.read_bytes()))[why])
    refused(call('flmk_prepare', '--source', source, '--data', tmp_path/'out', cwd=tmp_path), 'annot.pkl', why)
    assert not (tmp_path/'out').exists() or not list((tmp_path/'out').iterdir())
    assert not (tmp_path/'was-here').exists()


def test_bad_images_are_left_out(tmp_path):
    source = sketch_challenge(tmp_path/'data', 5, 2, 0, size=64)
    jpg = source/'synthetics_train/000001.jpg'
    jpg.write_bytes(jpg.read_bytes()[:300])
    (source/'synthetics_train/000002.jpg').write_bytes(b'')
    (source/'synthetics_train/000003.jpg').write_text('text')
    refused(call('flmk_prepare', '--source', source, '--data', tmp_path/'strict', '--strict'), '000001.jpg')
    done = call('flmk_prepare', '--source', source, '--data', tmp_path/'out')
    assert done.returncode == 0 and '3 left out' in done.stdout and '000003.jpg' in done.stdout
    assert len((tmp_path/'out/AFLW_train_data/list.txt').read_text().splitlines()) == 2


def test_prepare_killed(source, data, tmp_path):
    "kill -9 in the middle, then the same command: the same folder."
    args = [str(Path(sys.executable).with_name('flmk_prepare')), '--source', str(source), '--data', str(tmp_path), '--size', '64', '--workers', '1']
    job = subprocess.Popen(args, stdout=subprocess.DEVNULL)
    listing = tmp_path/'.AFLW_train_data.part/list.txt'
    while job.poll() is None:
        with suppress(FileNotFoundError):                        # not there yet, or just renamed
            if listing.stat().st_size: job.send_signal(signal.SIGKILL)
        time.sleep(.001)
    assert subprocess.run(args, capture_output=True).returncode == 0
    for name in 'AFLW_train_data/list.txt', 'AFLW_validation_data/list.txt': assert (tmp_path/name).read_text() == (data/name).read_text()
    assert not list(tmp_path.glob('.*'))


def test_missing_folders(tmp_path, model):
    refused(call('flmk_prepare', '--source', tmp_path/'none', '--data', tmp_path/'out'), 'none', 'data/README.md')
    refused(call('flmk_train', '--data', tmp_path/'none', '--checkpoint', tmp_path/'out'), 'flmk_prepare')
    refused(call('flmk_eval', '--model_path', model, '--source', tmp_path/'none', '--out', tmp_path/'out'), 'aflw_val')
    (tmp_path/'empty').mkdir()
    refused(call('flmk_test', '--model_path', model, '--images', tmp_path/'empty', '--out', tmp_path/'out'), 'holds no image')
    assert not (tmp_path/'out').exists()


def test_bad_settings(data, tmp_path):
    for args, word in ((['--model', 'resnet'], 'mobilenet_v3_small'), (['--loss', 'l3'], 'wing'), (['--epochs', '0'], 'epochs')):
        refused(call('flmk_train', '--data', data, '--checkpoint', tmp_path/'c', *args), word)
    assert not (tmp_path/'c').exists()


def test_trained(model):
    run = model.parent.parent
    assert len((run/'train.logs').read_text().splitlines()) == 3
    assert (run/'snapshot/checkpoint_epoch_1.pth.tar').is_file()
    assert model.stat().st_size < 15e6


def test_eval(model, source, tmp_path):
    done = call('flmk_eval', '--model_path', model, model, '--source', source, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path/'scores.csv').read_text().splitlines()) == 1 + 2 + 2      # the header, two constants, two models
    assert done.stdout.count('mobilenet_v3_small') == 2


def test_eval_reads_both_kinds(model, source, tmp_path):
    "A PyTorch file and its ONNX file come to the same numbers; training and export leave a card beside the model."
    done = call('flmk_export', model, tmp_path/'same.onnx', '--images', source/'aflw_val')
    assert done.returncode == 0, done.stderr
    done = call('flmk_eval', '--model_path', model, tmp_path/'same.onnx', '--source', source, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    *_, a, b = csv.DictReader((tmp_path/'scores.csv').open())
    for column in 'NME', 'median': assert float(a[column]) == pytest.approx(float(b[column]), abs=.01)
    for card in tmp_path/'same.md', model.parent/'best.md': assert 'license_name' in card.read_text() and '## Use' in card.read_text()


def test_submission(model, source, tmp_path):
    done = call('flmk_test', '--model_path', model, '--images', source/'aflw_test', '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [l.split(' ') for l in (tmp_path/'solution.txt').read_text().splitlines()]
    assert [r[0] for r in rows] == [f'image{k:05d}.jpg' for k in range(6)]
    assert {len(r) for r in rows} == {137} and np.isfinite(np.array([r[1:] for r in rows], float)).all()
    assert zipfile.ZipFile(tmp_path/'solution.zip').namelist() == ['solution.txt']
    for name in 'solution.txt', 'solution.zip': assert call('flmk_test', '--check', tmp_path/name, '--images', source/'aflw_test').returncode == 0


def test_spoilt_solutions(model, source, tmp_path):
    call('flmk_test', '--model_path', model, '--images', source/'aflw_test', '--out', tmp_path)
    lines = (tmp_path/'solution.txt').read_text().splitlines()
    nan = lines[0].rsplit(' ', 1)[0] + ' nan'
    for spoilt, why in ((lines[1:], 'is missing'), (lines + lines[:1], 'there twice'), ([nan] + lines[1:], 'not finite')):
        (tmp_path/'spoilt.txt').write_text('\n'.join(spoilt) + '\n')
        done = call('flmk_test', '--check', tmp_path/'spoilt.txt', '--images', source/'aflw_test')
        refused(done, why)


def test_bad_models(model, source, tmp_path):
    import torch
    good, bad = torch.load(model, weights_only=True), tmp_path/'bad.pth.tar'
    for content, why in (({**good, 'model': 'pfld'}, 'of another model'), ({**good, 'format': 'flmk model 0'}, 'flmk model 0'),
                         ({**good, 'settings': torch.zeros(4_000_000)}, 'allows 15'), ({**good, 'settings': Evil()}, 'code')):
        torch.save(content, bad)
        refused(call('flmk_test', '--model_path', bad, '--images', source/'aflw_test', '--out', tmp_path/'out', cwd=tmp_path), 'bad.pth.tar', why)
    bad.write_bytes(model.read_bytes()[:1000])
    refused(call('flmk_test', '--model_path', bad, '--images', source/'aflw_test', '--out', tmp_path/'out'), 'not a saved model')
    assert not (tmp_path/'out').exists() and not (tmp_path/'was-here').exists()


def test_unreadable_test_image(model, source, tmp_path):
    folder = tmp_path/'images'; folder.mkdir()
    (folder/'a.jpg').write_bytes((source/'aflw_test/image00000.jpg').read_bytes()[:500])
    refused(call('flmk_test', '--model_path', model, '--images', folder, '--out', tmp_path/'out'), 'a.jpg')
    assert not (tmp_path/'out').exists()


def test_scenes(tmp_path):
    "`flmk_faces --scenes`: pictures, and boxes that lie where the five points are; another recipe is refused."
    args = '--scenes', '--n', 4, '--size', 96, '--workers', 1, '--out', tmp_path/'scenes'
    done = call('flmk_faces', *args)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path/'scenes')), done.stderr
    records = json.loads((tmp_path/'scenes/scenes.json').read_text())
    assert [r['file'] for r in records] == sorted(p.name for p in (tmp_path/'scenes').glob('*.jpg')) and len(records) == 4
    for face in (f for r in records for f in r['faces']):
        middle = np.mean(face['points'], 0) - face['box'][:2]
        assert (np.abs(middle/face['box'][2:] - .5) < .3).all()
    refused(call('flmk_faces', *args, '--seed', 9), str(tmp_path/'scenes'))
    refused(call('flmk_faces', *args[:-1], tmp_path/'other', '--photos', tmp_path/'missing'), str(tmp_path/'missing'), 'photographs without people')


@pytest.mark.parametrize('format', ['csv', 'json'])
def test_a_pipe_that_is_closed(tmp_path, format):
    "`flmk_predict ... --out - | head` ends without a word when head has read enough, as `cat` does."
    Image.fromarray(render_face(5, 9, 200)[0]).save(tmp_path/'face.png')
    job = subprocess.Popen([script('flmk_predict'), tmp_path/'face.png', '--out', '-', '--format', format], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    job.stdout.close()
    said = job.stderr.read()
    assert job.wait(120) == 141 and said == '', said


def test_memory_that_pytorch_does_not_get(tmp_path):
    "As of `--bs` and `--img_size` too large for the machine: PyTorch's error is no MemoryError."
    script = tmp_path/'too_much.py'
    script.write_text("import torch\nfrom flmk.core.files import cli\n@cli\ndef too_much(): torch.empty(1 << 60, dtype=torch.uint8)\nif __name__ == '__main__': too_much()\n")
    refused(subprocess.run([sys.executable, script], capture_output=True, text=True, env=os.environ | dict(PYTHONPATH=str(root))), 'there is not enough memory')
