"What a user has stays his, and what is wrong is not taken for right: by the commands."
import csv
import inspect
import json
import os
import pickle
import shutil
import typing
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import content, root, TRAIN
from make import flipped
from shell import call, fine, refused

from flmk.commands import COMMANDS

LANDMARKS = root/'flmk/assets/landmarks_small.onnx'


def test_a_slip_costs_no_run(run, data, tmp_path):
    "A mistyped --data, with any option, changes nothing in the folder of a run; nor does starting it again."
    (run/'snapshot/thesis.txt').write_text('mine'); (run/'best_model/thesis.txt').write_text('mine')
    before = content(run)
    for more in [], ['--resume'], ['--overwrite']:
        refused(call('flmk_train', '--data', tmp_path/'typo', '--checkpoint', run, '--epochs', 2, *TRAIN, *more), 'typo')
        assert content(run) == before
    refused(call('flmk_train', '--data', data, '--checkpoint', run, '--epochs', 2, *TRAIN), '--resume', '--overwrite', 'another --checkpoint')
    assert content(run) == before


def test_overwrite_keeps_what_is_not_its_own(run, data):
    "The best model of before is kept under another name, and documents of others stay."
    (run/'snapshot/thesis.txt').write_text('mine')
    best = (run/'best_model/best.pth.tar').read_bytes()
    fine(call('flmk_train', '--data', data, '--checkpoint', run, '--epochs', 1, '--lr', 1e-6, *TRAIN, '--overwrite'))
    assert (run/'best_model/best_1.pth.tar').read_bytes() == best and (run/'snapshot/thesis.txt').read_text() == 'mine'
    assert sorted(p.name for p in (run/'snapshot').iterdir()) == ['checkpoint_epoch_1.pth.tar', 'thesis.txt']


def test_the_same_training_the_same_file(trained, data, tmp_path):
    fine(call('flmk_train', '--data', data, '--checkpoint', tmp_path/'again', '--epochs', 2, *TRAIN))
    best = 'best_model/best.pth.tar'
    assert (tmp_path/'again'/best).read_bytes() == (trained/best).read_bytes()


def test_strict_leaves_the_work_of_others(source, tmp_path):
    spoilt = shutil.copytree(source, tmp_path/'source')
    (spoilt/'synthetics_train/000059.jpg').write_bytes(b'')
    args = '--source', spoilt, '--data', tmp_path/'data', '--size', 32, '--workers', 1
    refused(call('flmk_prepare', *args, '--strict'), '000059.jpg')
    stored = content(tmp_path/'data')
    assert max(data.count(b'\n') for name, data in stored.items() if name.endswith('list.txt')) == 59
    refused(call('flmk_prepare', *args, '--strict'), '000059.jpg')
    assert stored.items() <= content(tmp_path/'data').items()
    (tmp_path/'data/.AFLW_train_data.part/thesis.txt').write_text('mine')
    refused(call('flmk_prepare', *args[:4], '--size', 48, '--strict'), 'unfinished work')
    assert (tmp_path/'data/.AFLW_train_data.part/thesis.txt').read_text() == 'mine'


def test_a_corrected_label_is_noticed(source, tmp_path):
    mended = shutil.copytree(source, tmp_path/'source')
    args = '--source', mended, '--data', tmp_path/'data', '--size', 32
    fine(call('flmk_prepare', *args))
    before = os.stat(mended/'aflw_val/annot.pkl')
    names, landmarks = pickle.loads((mended/'aflw_val/annot.pkl').read_bytes())
    landmarks[3][0] = landmarks[3][0][0] + 7., landmarks[3][0][1]
    (mended/'aflw_val/annot.pkl').write_bytes(pickle.dumps((names, landmarks)))
    os.utime(mended/'aflw_val/annot.pkl', ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(mended/'aflw_val/annot.pkl').st_size == before.st_size
    refused(call('flmk_prepare', *args), 'AFLW_validation_data', 'another annot.pkl')


def pts(points): return f'version: 1\nn_points: 68\n{{\n' + ''.join(f'{x:.2f} {y:.2f}\n' for x, y in points) + '}\n'


@pytest.fixture
def published(source, tmp_path):
    "A set of images with .pts files."
    out = tmp_path/'published'; out.mkdir()
    names, landmarks = pickle.loads((source/'aflw_val/annot.pkl').read_bytes())
    for name, points in zip(names, landmarks):
        shutil.copy(source/'aflw_val'/name, out); (out/name).with_suffix('.pts').write_text(pts(np.array(points) + 1))
    return out


def test_a_corrected_pts_moves_its_crop(published, tmp_path):
    args = 'points', published, '--out', tmp_path/'out', '--size', 64
    assert '12 faces' in fine(call('flmk_import', *args)).stdout
    assert '12 of them cropped before' in fine(call('flmk_import', *args)).stdout
    before, first = content(tmp_path/'out'), sorted(published.glob('*.pts'))[0]
    x, y = first.read_text().split('\n')[3].split()
    first.write_text(first.read_text().replace(f'{x} {y}\n', f'{float(x) - 9:.2f} {y}\n', 1))
    (tmp_path/'out/image00005.jpg').write_bytes(b'')
    assert '10 of them cropped before' in fine(call('flmk_import', *args)).stdout
    changed = {k for k, v in content(tmp_path/'out').items() if v != before[k]}
    assert changed == {first.with_suffix('.jpg').name, 'annot.pkl'}


def test_an_empty_face_is_drawn_again(tmp_path):
    args = '--n', 2, '--seed', 3, '--size', 32, '--workers', 1, '--out', tmp_path/'faces'
    fine(call('flmk_faces', *args))
    before = content(tmp_path/'faces')
    for broken in b'', before['000001.jpg'][:-300]:
        (tmp_path/'faces/000001.jpg').write_bytes(broken)
        fine(call('flmk_faces', *args))
        assert content(tmp_path/'faces') == before


@pytest.mark.parametrize('kind, limit', [([], 1000), (['--draw'], 3000), (['--blur'], 3000)])
def test_a_video_past_the_limit(kind, limit, clip, tmp_path):
    "No video, or none with the good name, and a line that says so, without OpenCV's own, one for each frame."
    done = call('flmk_predict', clip, '--out', tmp_path/'out', *kind, limit=limit)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and 'clip' in done.stderr, done
    assert not list((tmp_path/'out').rglob('*.mp4')) and not list((tmp_path/'out').rglob('.*'))


@pytest.mark.parametrize('format', ['csv', 'json'])
def test_a_table_past_the_limit(format, clip, tmp_path):
    "A table that finds no more room ends with a whole row, and JSON is JSON; it ended in the middle of a number."
    fine(call('flmk_predict', clip, '--out', tmp_path/'whole', '--format', format))
    room = (tmp_path/f'whole/clip.{format}').stat().st_size*9//10
    done = call('flmk_predict', clip, '--out', tmp_path/'out', '--format', format, limit=room)
    assert done.returncode == 2 and 'Traceback' not in done.stderr and f'clip.{format} cannot be written' in done.stderr, done
    text = (tmp_path/f'out/clip.{format}').read_text()
    if format == 'json': json.loads(text)
    else: assert text.endswith('\n') and len({len(row.split(',')) for row in text.splitlines()}) == 1


def test_names_that_are_no_text(face, tmp_path):
    "Photographs whose names are not UTF-8, or hold a line end, are predicted like the others; the table is text."
    folder = os.fsencode(tmp_path/'many'); os.mkdir(folder)
    names = [b'a.jpg', b'caf\xe9.jpg', b'b\nc.jpg', 'd\u2028.jpg'.encode(), b'=1+1.jpg', b'\x1b[31me.jpg']
    for name in names: shutil.copy(face, os.path.join(folder, name))
    for format in 'csv', 'json':
        done = fine(call('flmk_predict', tmp_path/'many', '--crops', '--out', tmp_path/format, '--format', format, '--draw'))
        assert all(l.isprintable() for l in done.stderr.splitlines())
    rows = list(csv.DictReader((tmp_path/'csv/faces.csv').open(encoding='utf-8')))
    shown = sorted(Path(r['image']).name for r in rows)
    assert shown == sorted(['a.jpg', r'caf\xe9.jpg', r'b\nc.jpg', r'd\u2028.jpg', '=1+1.jpg', r'\x1b[31me.jpg'])
    assert len(json.loads((tmp_path/'json/faces.json').read_text(encoding='utf-8'))['faces']) == 6
    assert len(os.listdir(tmp_path/'csv/drawn')) == 6
    done = call('flmk_predict', '=1+1.jpg', '--crops', '--out', tmp_path/'one', cwd=os.fsdecode(folder))
    assert "\n'=1+1.jpg," in (tmp_path/'one/faces.csv').read_text(), done                  # no spreadsheet runs it
    refused(call('flmk_predict', '=1+1.jpg', '--crops', '--out', tmp_path/'one', cwd=os.fsdecode(folder)), 'exists already', '--overwrite')


@pytest.mark.parametrize('name', [b'caf\xe9.jpg', b'a b.jpg', 'a\u2028b.jpg'.encode(), 'a\xa0b.jpg'.encode(), b'a\nb.jpg'])
def test_names_that_a_solution_cannot_say(name, model, source, tmp_path):
    folder = os.fsencode(tmp_path/'many'); os.mkdir(folder)
    shutil.copy(source/'aflw_test/image00000.jpg', os.path.join(folder, name))
    refused(call('flmk_test', '--model_path', model, '--images', tmp_path/'many', '--out', tmp_path/'out'), 'rename')
    assert not (tmp_path/'out').exists()


def test_flipped_bits_of_models(model, face, tmp_path):
    "A bit that flips in a file of weights, of either kind: it is refused, or the answers are the same."
    from flmk.core.files import InputError, read_image
    from flmk.inference.landmarks import predict_crops
    from flmk.predictor import load_predictor
    rng, picture = np.random.default_rng(0), read_image(face)
    for path in model, LANDMARKS:
        data, right, refusals = path.read_bytes(), predict_crops(load_predictor(path), picture)[0], 0
        for _ in range(40):
            (tmp_path/path.name).write_bytes(flipped(data, rng))
            try: got = predict_crops(load_predictor(tmp_path/path.name), picture)[0]
            except InputError as e: assert str(e).isprintable(); refusals += 1
            else: assert np.abs(got - right).max() < 1e-3, path
        assert refusals > 20


def test_weights_that_are_no_numbers(model, face, tmp_path):
    from flmk.model_file import save_model
    from flmk.models import create_model
    for value, name in (float('nan'), 'nan'), (float('inf'), 'inf'), (1e30, 'absurd'):
        net = create_model('mobilenet_v3_small', 64)
        net.late[-1].points.bias.data[7] = value
        save_model(tmp_path/f'{name}.pth.tar', net, 'mobilenet_v3_small', 64)
        done = call('flmk_predict', face, '--crops', '--model_path', tmp_path/f'{name}.pth.tar', '--out', tmp_path/name)
        assert done.returncode == 2 and ('not finite' in done.stderr or 'absurd' in done.stderr) and 'Traceback' not in done.stderr, done
        assert not list((tmp_path/name).glob('*.csv')) or len((tmp_path/name/'faces.csv').read_text().splitlines()) == 1


def test_landmarks_far_away(source, model, tmp_path):
    "A slip of ten million pixels is a bad entry for each command that reads labels."
    spoilt = shutil.copytree(source, tmp_path/'source')
    for k, folder in enumerate(('synthetics_train', 'aflw_val')):
        names, landmarks = pickle.loads((spoilt/folder/'annot.pkl').read_bytes())
        landmarks[4][7] = (1e7, 1e200)[k], 3.
        (spoilt/folder/'annot.pkl').write_bytes(pickle.dumps((names, landmarks)))
    done = fine(call('flmk_prepare', '--source', spoilt, '--data', tmp_path/'data', '--size', 32))
    assert done.stdout.count('sides outside') == 2
    for args in (('flmk_eval', '--model_path', model, '--source', spoilt, '--out', tmp_path/'out'), ('flmk_adapt', '--model_path', model, '--source', spoilt/'aflw_val', '--out', tmp_path/'a.pth.tar')):
        done = call(*args)
        assert 'sides outside' in done.stderr + done.stdout and 'Traceback' not in done.stderr, done


NUMBERS = int, float, typing.Optional[int], typing.Optional[float]


def options(name):
    "The options of a command that are numbers."
    func = getattr(import_module(f'flmk.{COMMANDS[name]}'), name)
    return [p.name for p in inspect.signature(func).parameters.values() if type(p.default) in (int, float) or getattr(p.annotation, 'type', p.annotation) in NUMBERS]


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_every_number_has_a_range(name, tmp_path):
    "Of every option that is a number, what is too small, too large, or no number at all."
    said = ' '.join(call(name, '--help').stdout.split())
    needed = dict(flmk_import=('points', 'x'), flmk_export=('x',)).get(name, ())
    for option in options(name):
        for value in '-1', '1e20', 'nan', '99999999999999999999', 'two':
            done = call(name, *needed, f'--{option}', value, cwd=tmp_path)
            if 'invalid' in done.stderr: assert done.returncode == 2 and f'--{option}' in done.stderr and done.stderr.count('\n') < 30; continue     # argparse: no number
            refused(done, f'--{option} ', 'out of range')
        assert f'--{option}' in said
    assert not os.listdir(tmp_path)
