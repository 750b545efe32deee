"What is broken, hostile, full, locked or of the wrong kind: one line, exit status 2, soon, and in bounded memory."
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import content, root, TRAIN
from PIL import Image
from shell import call, fine, Job, refused

from flmk.core.files import InputError, locked_folder
from flmk.core.solution import write_solution
from flmk.model_file import read_checkpoint

LANDMARKS = root/'flmk/assets/landmarks_small.onnx'
is_root = os.geteuid() == 0


@pytest.mark.parametrize('made', ['pipe', 'socket', 'folder', 'device', 'loop', 'nothing'])
def test_no_regular_file(made, source, data, model, face, tmp_path):
    "Nothing waits for the other end of a pipe."
    def make(name):
        path = tmp_path/name; path.parent.mkdir(parents=True, exist_ok=True)
        if made == 'pipe': os.mkfifo(path)
        if made == 'socket': os.mknod(path, stat.S_IFSOCK | 0o600)
        if made == 'folder': path.mkdir()
        if made == 'device': path.symlink_to('/dev/zero')
        if made == 'loop': path.symlink_to(path.name)
        return path
    quick = dict(seconds=200)                                # what waits for the other end of a pipe waits for ever
    done = call('flmk_predict', make('x.jpg'), '--crops', '--out', tmp_path/'table', **quick)
    assert done.returncode == 2 and 'Traceback' not in done.stderr and ('x.jpg' in done.stderr or 'holds no image' in done.stderr), done
    for name in 'm.pth.tar', 'm.onnx': refused(call('flmk_predict', face, '--model_path', make(name), '--out', tmp_path/'out', **quick), name)
    refused(call('flmk_predict', face, '--detector', make('d.onnx'), '--out', tmp_path/'out', **quick), 'd.onnx')
    what = 'regular file' if made in ('pipe', 'folder', 'device') else ''         # it said that a pipe is missing
    refused(call('flmk_test', '--check', make('solution.zip'), **quick), 'solution.zip', what)
    refused(call('flmk_export', make('e.pth.tar'), tmp_path/'out.onnx', **quick), 'e.pth.tar', what)
    done = call('flmk_predict', make('v.mp4'), make('y.jpg'), '--out', tmp_path/'table', '--draw', '--overwrite', **quick)   # a loop of links gave a traceback
    assert done.returncode == 2 and 'Traceback' not in done.stderr and ('v.mp4' in done.stderr and what in done.stderr or made in ('folder', 'nothing')), done
    refused(call('flmk_import', 'points', make('set.zip'), '--out', tmp_path/'out', **quick), 'set.zip')
    refused(call('flmk_prepare', '--source', make('a/synthetics_train/annot.pkl').parent.parent, '--data', tmp_path/'out', **quick), 'annot.pkl')
    refused(call('flmk_train', '--data', make('b/AFLW_train_data/list.txt').parent.parent, '--checkpoint', tmp_path/'out', **quick), 'list.txt')
    refused(call('flmk_train', '--data', data, '--init', make('i.pth.tar'), '--checkpoint', tmp_path/'out', *TRAIN, **quick), 'i.pth.tar')
    refused(call('flmk_adapt', '--model_path', model, '--source', make('c/annot.pkl').parent, '--out', tmp_path/'out', **quick), 'annot.pkl')
    if made != 'nothing': refused(call('flmk_faces', '--n', 1, '--size', 32, '--out', make('f/faces.json').parent, **quick), 'f')
    assert not list(tmp_path.glob('out*/*'))


def test_gs_is_not_run(face, model, tmp_path):
    "An EPS file that is called face.jpg, to every command that reads images, with a Ghostscript on the PATH."
    (tmp_path/'bin').mkdir(); (tmp_path/'images').mkdir(); (tmp_path/'set').mkdir()
    gs = tmp_path/'bin/gs'; gs.write_text(f'#!/bin/sh\ntouch {tmp_path}/gs-ran\n'); gs.chmod(0o755)
    env = dict(PATH=f'{tmp_path}/bin:{os.environ["PATH"]}')
    for folder in 'images', 'set': (tmp_path/folder/'face.jpg').write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n')
    (tmp_path/'set/face.pts').write_text('version: 1\nn_points: 68\n{\n' + ''.join(f'{k} {k}\n' for k in range(68)) + '}\n')
    for args in (('flmk_predict', tmp_path/'images', '--out', tmp_path/'out'), ('flmk_test', '--images', tmp_path/'images', '--model_path', model, '--out', tmp_path/'out'),
                 ('flmk_import', 'points', tmp_path/'set', '--out', tmp_path/'out2'), ('flmk_export', model, tmp_path/'a.onnx', '--images', tmp_path/'images')):
        done = call(*args, env=env)                              # a table of photographs says in a second line how many faces it has
        assert done.returncode == 2 and 'Traceback' not in done.stderr and 'face.jpg' in done.stderr and 'no image, or not of a format' in done.stderr, done
    assert not (tmp_path/'gs-ran').exists()


def test_an_option_raises_the_limit_of_pixels(tmp_path):
    "A picture of 64.8 million pixels is refused, and taken where the user says so, as a crop and as a photograph."
    Image.new('1', (8100, 8000)).save(tmp_path/'large.png')
    for kind in ['--crops'], []:
        done = call('flmk_predict', tmp_path/'large.png', '--out', tmp_path/'out', *kind, '--overwrite')
        assert done.returncode == 2 and '8100 x 8000 pixels, more than 64,000,000' in done.stderr and 'Traceback' not in done.stderr, done
        done = fine(call('flmk_predict', tmp_path/'large.png', '--out', tmp_path/'out', *kind, '--overwrite', '--max_pixels', 65_000_000))
        assert len((tmp_path/'out/faces.csv').read_text().splitlines()) == 1 + bool(kind)


def onnx_file(size, axes=(1, 2, 3)):
    "An ONNX file with the inputs and outputs of a landmark network, that can take one face at a time: with more it fails when it is run or, where the mean is over `axes` 0 to 3, answers for one."
    import onnx
    from onnx import helper
    value = lambda name, dims: helper.make_tensor_value_info(name, 1, dims)
    const = lambda name, a: onnx.numpy_helper.from_array(np.array(a), name)
    nodes = [helper.make_node('ReduceMean', ['faces', 'axes'], ['mean'], keepdims=1), helper.make_node('Reshape', ['mean', 'shape'], ['flat']),
             helper.make_node('Add', ['flat', 'p'], ['points']), helper.make_node('Reshape', ['mean', 'shape2'], ['flat2']), helper.make_node('Add', ['flat2', 's'], ['sigma'])]
    consts = [const('axes', axes), const('shape', [1, 1, 1]), const('shape2', [1, 1]), const('p', np.zeros((1, 68, 2), np.float32)), const('s', np.zeros((1, 68), np.float32))]
    graph = helper.make_graph(nodes, 'g', [value('faces', ['n', 3, size, size])], [value('points', ['n', 68, 2]), value('sigma', ['n', 68])], consts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)
    helper.set_model_props(model, dict(img_size=str(size)))
    return model.SerializeToString()


def test_a_network_that_fails(face, tmp_path):
    "An ONNX file that is refused for the size of its input, one that fails when it is run on a face and its mirror image, and one that answers for one of them; on the face alone both work."
    for k, (made, why) in enumerate(((onnx_file(20_000), '20000 x 20000'), (onnx_file(64), 'cannot be run'), (onnx_file(64, (0, 1, 2, 3)), 'answers in the shape (1, 68, 2) for 2 face(s)'))):
        (tmp_path/'m.onnx').write_bytes(made)
        done = call('flmk_predict', face, '--crops', '--model_path', tmp_path/'m.onnx', '--out', tmp_path/f'{k}')
        assert done.returncode == 2 and 'Traceback' not in done.stderr and why in done.stderr and done.peak < 2_000_000, done
        if k: fine(call('flmk_predict', face, '--crops', '--no-flip', '--model_path', tmp_path/'m.onnx', '--out', tmp_path/f'good{k}'))


def test_a_copy_whose_name_is_a_folder(face, tmp_path):
    (tmp_path/'out/drawn/face.jpg').mkdir(parents=True)
    for more in [], ['--overwrite']:
        done = call('flmk_predict', face, '--crops', '--draw', '--out', tmp_path/'out', *more)
        assert done.returncode == 2 and 'Traceback' not in done.stderr and 'face.jpg' in done.stderr, done
        assert [o.name for o in (tmp_path/'out/drawn').iterdir()] == ['face.jpg']


def spoil(saved, **changes):
    "Copies of a saved model or snapshot with each field missing, and of each wrong kind."
    for k in changes or saved:
        yield f'no {k}', {o: v for o, v in saved.items() if o != k}
        for wrong in (None, 'word', -1, 20_000, float('nan'), [[]], {'a': [1]}, (1, 2, 3)): yield f'{k} {wrong!r:.20}', saved | {k: wrong}


def test_checkpoints_field_by_field(model, tmp_path):
    "Every field of a saved model missing and wrong: an `InputError`, or a model that can be used."
    import torch
    from flmk.model_file import load_model
    from flmk.torch_predictor import TorchPredictor
    saved, n = torch.load(model, weights_only=True), 0
    for why, content in spoil(saved):
        path = tmp_path/'m.pth.tar'
        try: torch.save(content, path)
        except Exception: continue                               # an integer that no pickle of torch holds
        try:
            points, _ = TorchPredictor(path)(np.zeros((1, 64, 64, 3), np.uint8))
            assert points.shape == (1, 68, 2), why
        except InputError as e: assert str(e).isprintable() and len(str(e)) < 700 and 'm.pth.tar' in str(e), why; n += 1
    assert n > 40
    for content in ([], 'word', 5, None, {}, {1: 2}, saved['state_dict']):
        torch.save(content, path)
        with pytest.raises(InputError): load_model(path)


def test_snapshots_field_by_field(trained, data, tmp_path):
    "Likewise a snapshot, which --resume would go on from: read in this process, three of them by the command."
    import torch
    from flmk.train import read_last_snapshot, Recipe
    run = tmp_path/'run'; (run/'snapshot').mkdir(parents=True)
    path, saved, seen = run/'snapshot/checkpoint_epoch_1.pth.tar', torch.load(trained/'snapshot/checkpoint_epoch_1.pth.tar', weights_only=True), set()
    recipe = Recipe(**saved['recipe'])
    for why, content in spoil(saved):
        try: torch.save(content, path)
        except Exception: continue
        try: read_last_snapshot(run, recipe)
        except InputError as e: assert str(e).isprintable(), why; seen.add(why.split()[0])
    assert 'no' in seen and 'recipe' in seen
    args = '--data', data, '--checkpoint', run, '--epochs', 2, *TRAIN, '--resume'
    for k, wrong in dict(optimizer={}, average={}, model={}, log=[1], recipe=dict(saved['recipe'], lr='much')).items():
        torch.save(saved | {k: wrong}, path)
        done = call('flmk_train', *args)
        assert 'Traceback' not in done.stderr and done.returncode in (0, 2), (k, done)
    torch.save(saved, path); path.rename(path.with_name('checkpoint_epoch_x.pth.tar'))
    fine(call('flmk_train', *args))


def test_zips(tmp_path, source):
    "Damaged, encrypted, packed in an unknown way, lying and gigantic ones, for both commands that read zips."
    line = 'a.jpg ' + ' '.join(['1.5']*136) + '\n'
    good = tmp_path/'good.zip'
    with zipfile.ZipFile(good, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('solution.txt', line)
    data = good.read_bytes()
    at = data.rindex(b'PK\x01\x02')
    def changed(*pairs):
        out = bytearray(data)
        for k, v in pairs: out[k] = v
        return bytes(out)
    cases = {'encrypted': changed((6, 1), (at + 8, 1)), 'unknown': changed((8, 99), (at + 10, 99)), 'cut': data[:-30], 'damaged': changed((50, data[50] ^ 255), (60, data[60] ^ 255)), 'empty': b'', 'start': b'PK\x03\x04', 'end': data[-22:]}
    for how, name in (zipfile.ZIP_LZMA, 'lzma'), (zipfile.ZIP_BZIP2, 'bzip2'):
        with zipfile.ZipFile(tmp_path/'x.zip', 'w', how) as z: z.writestr('solution.txt', line)
        packed = (tmp_path/'x.zip').read_bytes(); cases[name + ' damaged'] = packed[:60] + b'\xff'*9 + packed[69:]
    for name, broken in cases.items():
        (tmp_path/'s.zip').write_bytes(broken)
        refused(call('flmk_test', '--check', tmp_path/'s.zip'), 's.zip')
        refused(call('flmk_import', 'points', tmp_path/'s.zip', '--out', tmp_path/'out'), 's.zip')
    with zipfile.ZipFile(tmp_path/'s.zip', 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('solution.txt', b'x\n'*45_000_000)
    done = call('flmk_test', '--check', tmp_path/'s.zip')
    assert done.returncode == 2 and '100 or more' in done.stderr and len(done.stdout) < 5000, done
    assert done.peak < 2_000_000, done                           # kilobytes, PyTorch's among them; it took over 5 GB


@pytest.mark.parametrize('line', ['CR', 'CRLF', '\u2028', '1_0.5', '١.٥', '\xa0', 'nan', '1e999', '\x00', '0x10'])
def test_solutions_that_the_reader_would_refuse(line, tmp_path):
    good = 'a.jpg ' + ' '.join(['1.5']*136)
    text = {'CR': good + '\r' + good.replace('a', 'b', 1), 'CRLF': good + '\r\n', '\u2028': good + '\u2028' + good.replace('a', 'b', 1), '\xa0': good.replace(' ', '\xa0', 3)}.get(line, good.replace('1.5', line, 1) + '\n')
    (tmp_path/'solution.txt').write_bytes(text.encode())
    done = call('flmk_test', '--check', tmp_path/'solution.txt', '--images', tmp_path/'none')
    assert done.returncode == 2 and 'line 1' in done.stderr and 'no good solution' in done.stderr and 'Traceback' not in done.stderr, done
    (tmp_path/'solution.txt').write_text(good + '\n')
    fine(call('flmk_test', '--check', tmp_path/'solution.txt', '--images', tmp_path/'none'))


@pytest.mark.parametrize('text, why', [(b'', 'is empty'), (b'\n', 'without 140 fields'), (b'\xff\xfe\n', 'as text'), (b'imgs/a.png ' + b'word '*139 + b'\n', 'without 140'), (b'imgs/a.png' + b' word'*139 + b'\n', 'word'), (b'imgs/a.png' + b' nan'*139 + b'\n', 'not finite'),
                                       (b'none' + b' 1'*139 + b'\n', 'does not fit list.txt')])
def test_a_broken_list(text, why, data, tmp_path):
    shutil.copytree(data, tmp_path/'data')
    (tmp_path/'data/AFLW_train_data/list.txt').write_bytes(text)
    refused(call('flmk_train', '--data', tmp_path/'data', '--checkpoint', tmp_path/'out', *TRAIN), why)
    assert not (tmp_path/'out').exists()


@pytest.mark.parametrize('array', [b'', b'foreign', 'other shape', 'objects', 'cut'])
def test_a_foreign_imgs_npy(array, data, trained, tmp_path):
    shutil.copytree(data, tmp_path/'data')
    path = tmp_path/'data/AFLW_train_data/imgs.npy'
    if array == 'other shape': np.save(path, np.zeros((3, 3)))
    elif array == 'objects': np.save(path, np.array([None, {}]), allow_pickle=True)
    elif array == 'cut': path.write_bytes((data/'AFLW_train_data/imgs.npy').read_bytes()[:5000])
    else: path.write_bytes(array)
    os.utime(path)
    refused(call('flmk_train', '--data', tmp_path/'data', '--checkpoint', tmp_path/'out', *TRAIN), 'imgs.npy', 'delete')


def test_faces_folders(tmp_path):
    args = '--n', 2, '--size', 32, '--workers', 1, '--out', tmp_path/'faces'
    fine(call('flmk_faces', *args))
    (tmp_path/'faces/1_copy.jpg').write_bytes(b'mine')
    fine(call('flmk_faces', *args))
    assert (tmp_path/'faces/1_copy.jpg').read_bytes() == b'mine'
    for broken in '{"seed": ', '', '[]', '"x"', '\x00':
        (tmp_path/'faces/faces.json').write_text(broken)
        refused(call('flmk_faces', *args), 'faces.json' if broken not in ('[]', '"x"') else 'faces')


def commands(source, data, model, published, face, clip, out):
    "Every command that writes, with its arguments and the folder that it writes to."
    return dict(
        prepare=('flmk_prepare', '--source', source, '--data', out, '--size', 64),
        faces=('flmk_faces', '--n', 3, '--size', 64, '--workers', 1, '--out', out),
        imported=('flmk_import', 'points', published, '--out', out, '--size', 64),
        train=('flmk_train', '--data', data, '--checkpoint', out, '--epochs', 1, *TRAIN),
        evaluate=('flmk_eval', '--model_path', model, '--source', source, '--out', out, '--report', out/'report.html'),
        test=('flmk_test', '--model_path', model, '--images', source/'aflw_test', '--out', out),
        predict=('flmk_predict', face, '--crops', '--out', out, '--draw', '--blur', '--crop_out', out/'crops'),
        video=('flmk_predict', clip, '--out', out, '--draw'),
        export=('flmk_export', model, out/'a.onnx'))


WRITES = ['prepare', 'faces', 'imported', 'train', 'evaluate', 'test', 'predict', 'video', 'export']


@pytest.fixture(scope='session')
def published(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('published')
    names, landmarks = pickle.loads((source/'aflw_val/annot.pkl').read_bytes())
    for name, points in zip(names, landmarks):
        shutil.copy(source/'aflw_val'/name, out)
        (out/name).with_suffix('.pts').write_text('version: 1\nn_points: 68\n{\n' + ''.join(f'{x + 1:.2f} {y + 1:.2f}\n' for x, y in points) + '}\n')
    return out


@pytest.fixture
def tmpfs(tmp_path):
    "A function that mounts a small file system."
    mounted = []
    def mount(**options):
        path = tmp_path/f'disk{len(mounted)}'; path.mkdir()
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', ','.join(f'{k}={v}' for k, v in options.items()), 'flmk', str(path)], capture_output=True).returncode: pytest.skip('no right to mount')
        mounted.append(path)
        return path
    yield mount
    for path in mounted: subprocess.run(['umount', '-l', str(path)], check=True)


def no_half(folder, whole):
    "Files with a good name are whole: as an undisturbed run writes them, or a table that ends with a line."
    for name, data in content(folder).items():
        hidden = any(part.startswith('.') for part in Path(name).parts)
        if hidden or name not in whole or name.endswith(('.csv', '.html', '.md', '.logs', '.png', '.json', 'list.txt')): continue
        assert data == whole[name], name


@pytest.mark.skipif(not is_root, reason='only root may mount')
@pytest.mark.parametrize('what', WRITES)
def test_a_full_disk(what, source, data, model, published, face, clip, tmpfs, tmp_path):
    "At every size of disk up to what is needed: one line and no half file, or all is done. Then with room, the same as ever."
    make = lambda out: commands(source, data, model, published, face, clip, out)[what]
    fine(call(*make(tmp_path/'whole')))
    whole = content(tmp_path/'whole')
    needed = sum(-(-len(v)//4096)*4096 for v in whole.values())
    for share in 0, .1, .4, .8, .98:
        disk = tmpfs(size=max(8192, int(needed*share)//4096*4096), mode='777')
        done = call(*make(disk/'out'))
        assert 'Traceback' not in done.stderr and done.returncode in (0, 2), (share, done)
        if done.returncode: assert 'No space' in done.stderr or 'written' in done.stderr or 'room' in done.stderr, (share, done)
        assert 'callback' not in done.stderr.lower(), done         # fastai's words around ours
        no_half(disk/'out', whole)


@pytest.mark.skipif(not is_root, reason='only root may mount')
@pytest.mark.parametrize('what', WRITES)
def test_no_more_files(what, source, data, model, published, face, clip, tmpfs):
    "Inodes used up."
    disk = tmpfs(nr_inodes=4, size='100m', mode='777')
    done = call(*commands(source, data, model, published, face, clip, disk/'out')[what])
    assert 'Traceback' not in done.stderr and done.returncode in (0, 2), done


@pytest.mark.skipif(not is_root, reason='only root may become nobody')
@pytest.mark.parametrize('what', WRITES)
def test_a_folder_of_somebody_else(what, source, data, model, published, face, clip, tmp_path):
    "A folder without the right to write, and a file where the folder should be."
    if what == 'export' and not all(p.stat().st_mode & 1 for p in (Path(os.__file__), *Path(os.__file__).parents)[1:]): pytest.skip('nobody may not read this Python, of which the exporter imports more')
    for path in [p for o in (source, data, model, published, face, clip, tmp_path) for p in (o, *o.parents)]:
        if path != Path('/') and path != Path('/tmp') and '/tmp/' in f'{path}/': path.chmod(path.stat().st_mode | 0o055)
    (tmp_path/'locked').mkdir(mode=0o755); (tmp_path/'file').write_text('mine')
    for out in tmp_path/'locked', tmp_path/'file', tmp_path/'locked/deeper', tmp_path/('x'*300):
        done = call(*commands(source, data, model, published, face, clip, out)[what], nobody=True)
        assert done.returncode == 2 and 'Traceback' not in done.stderr and done.stderr.count('\n') <= 2, (out, done)
    assert (tmp_path/'file').read_text() == 'mine' and not list((tmp_path/'locked').iterdir())


@pytest.mark.parametrize('what', ['prepare', 'faces', 'imported', 'train'])
@pytest.mark.parametrize('n', [2, 8])
def test_several_at_once(n, what, source, data, model, published, face, clip, tmp_path):
    "One does the work; the others say that it is at work, or find it done; what comes out is whole."
    args = commands(source, data, model, published, face, clip, tmp_path/'out')[what]
    jobs = [Job(*args) for _ in range(n)]
    done = [j.wait() for j in jobs]
    assert any(d.returncode == 0 for d in done), done
    for d in done:
        if d.returncode: refused(d, 'at work' if what != 'train' else '')
    fine(call(*commands(source, data, model, published, face, clip, tmp_path/'alone')[what]))
    for k in 'out', 'alone': assert not [o for o in (tmp_path/k).rglob('.*')]
    a, b = content(tmp_path/'out'), content(tmp_path/'alone')
    assert a.keys() == b.keys() and all(a[k] == b[k] for k in a if not k.endswith(('.logs', '.md', 'import.json', 'faces.json')) and 'snapshot' not in k)


@pytest.mark.skipif(not is_root, reason='only root may become nobody')
def test_a_model_of_somebody_else(model, face, tmp_path):
    "A model without the right to read it is told as that; it was called no model."
    for path in (face, tmp_path):
        for p in (path, *path.parents):
            if '/tmp/' in f'{p}/' and p != Path('/tmp'): p.chmod(p.stat().st_mode | 0o055)
    locked = Path(shutil.copy(model, tmp_path/'m.pth.tar')); locked.chmod(0o600)
    (tmp_path/'out').mkdir(); (tmp_path/'out').chmod(0o777)
    refused(call('flmk_predict', face, '--crops', '--model_path', locked, '--out', tmp_path/'out', nobody=True), 'm.pth.tar cannot be read: Permission denied')


@pytest.mark.parametrize('n', [2, 8])
def test_submissions_at_once(n, model, source, tmp_path):
    "Runs with different models into one folder: each ends well, and the zip holds the text that lies beside it."
    models = model, root/'best.pth.tar'
    jobs = [Job('flmk_test', '--model_path', models[k % 2], '--images', source/'aflw_test', '--out', tmp_path/'out') for k in range(n)]
    for j in jobs: fine(j.wait())
    with zipfile.ZipFile(tmp_path/'out/solution.zip') as z: assert z.read('solution.txt') == (tmp_path/'out/solution.txt').read_bytes()
    assert sorted(os.listdir(tmp_path/'out')) == ['solution.txt', 'solution.zip']


def test_a_submission_waits(tmp_path):
    "While another run writes text and zip, neither is touched; afterwards both are of one run, and of the same bytes each time."
    names, points = ['a.jpg'], np.full((1, 68, 2), 1.5)
    first = write_solution(tmp_path/'out', names, points)
    before = [p.read_bytes() for p in first]
    with locked_folder(tmp_path/'out'):
        other = Thread(target=write_solution, args=(tmp_path/'out', names, points + 1))
        other.start(); other.join(1)
        assert other.is_alive() and [p.read_bytes() for p in first] == before
    other.join(60)
    with zipfile.ZipFile(tmp_path/'out/solution.zip') as z: assert z.read('solution.txt') == (tmp_path/'out/solution.txt').read_bytes() != before[0]
    assert [p.read_bytes() for p in write_solution(tmp_path/'again', names, points)] == before


def test_ctrl_c(source, tmp_path):
    "A word, and exit status 130."
    args = 'flmk_faces', '--n', 500, '--size', 64, '--workers', 1, '--out', tmp_path/'out'
    job = Job(*args)
    while len(list((tmp_path/'out').glob('0*.jpg'))) < 2:
        assert job.process.is_alive()
        time.sleep(.05)
    os.kill(job.process.pid, signal.SIGINT)
    done = job.wait()
    assert (done.returncode, done.stderr) == (130, 'flmk_faces: interrupted\n'), done


@pytest.mark.parametrize('name', ['flmk_train', 'flmk_prepare'])
def test_ctrl_c_while_it_loads(name, tmp_path):
    "Likewise in the seconds before the work begins, while PyTorch, or what else it needs, is loaded; it ended with a traceback."
    module = dict(flmk_train='fastai', flmk_prepare='cv2')[name]
    (tmp_path/f'{module}.py').write_text('import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)')
    interruptible = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)       # a shell may have made its jobs ignore it
    done = subprocess.run([Path(sys.executable).with_name(name)], env={**os.environ, 'PYTHONPATH': str(tmp_path)}, capture_output=True, text=True, preexec_fn=interruptible)
    assert (done.returncode, done.stderr) == (130, f'{name}: interrupted\n'), done


def test_a_loss_that_is_no_number(data, tmp_path):
    "A rate and a decay that make the weights explode: one line, nothing of fastai's, and no snapshot of ruined weights."
    done = call('flmk_train', '--data', data, '--checkpoint', tmp_path/'out', '--epochs', 30, '--lr', 10, '--wd', 10, *TRAIN)
    refused(done, 'the loss became', 'in epoch', 'try a lower --lr')
    assert 'nan' not in done.stdout and 'inf' not in done.stdout
    for path in (tmp_path/'out/snapshot').glob('*'): assert all(v.isfinite().all() for v in read_checkpoint(path)['average'].values())


def test_long_paths(source, tmp_path):
    for args in (('flmk_prepare', '--source', source, '--data', 'x'*5000), ('flmk_predict', 'x'*5000), ('flmk_test', '--check', 'x'*5000), ('flmk_faces', '--n', 1, '--size', 32, '--out', 'y/'*2500), ('flmk_export', 'x'*5000),
                 ('flmk_predict', 'a\0b')): refused(call(*args, cwd=tmp_path))


def test_threads_share_a_predictor(model, face):
    "Sixteen threads at one predictor, of either kind: each gets what it gets alone, bit for bit."
    from concurrent.futures import ThreadPoolExecutor
    from flmk.inference.landmarks import predict_crops
    from flmk.predictor import load_predictor
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (rng.integers(60, 200), rng.integers(60, 200), 3)).astype(np.uint8) for _ in range(48)]
    for path in model, LANDMARKS:
        predictor = load_predictor(path)
        ask = lambda k: predict_crops(predictor, images[k], flip=k % 2 == 0)
        alone = [ask(k) for k in range(48)]
        with ThreadPoolExecutor(16) as pool: together = list(pool.map(ask, [*range(48)]*3))
        for k, (points, sigma) in enumerate(together):
            np.testing.assert_array_equal(points, alone[k % 48][0]); np.testing.assert_array_equal(sigma, alone[k % 48][1])


def test_a_table_is_whole_at_every_moment(face, tmp_path):
    "An interruption at the 900th photograph keeps 899; see also `test_interrupted` of test_deploy."
    many = tmp_path/'many'; many.mkdir()
    for k in range(60): (many/f'{k:03d}.jpg').symlink_to(face)
    out = tmp_path/'out/faces.csv'
    job = Job('flmk_predict', many, '--crops', '--out', tmp_path/'out')
    while not out.exists() or out.stat().st_size < 20_000:
        if not job.process.is_alive(): break
        time.sleep(.005)
    job.kill(); job.wait()
    rows = out.read_text().split('\n')
    assert rows[-1] == '' and len({len(r.split(',')) for r in rows[:-1]}) == 1 and len(rows) > 10
