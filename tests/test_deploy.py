"Export, photographs and videos, as a user types them: black-box, on rendered faces and the shipped model."
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_commands import call, refused

from flmk.core.metrics import nme
from flmk.model_file import save_model
from flmk.models import create_model
from flmk.render.generate import render_face

root = Path(__file__).parent.parent
best = root/'best.pth.tar'


@pytest.fixture(scope='session')
def onnx(tmp_path_factory):
    out = tmp_path_factory.mktemp('onnx')/'landmarks.onnx'
    done = call('flmk_export', best, out, '--licence', 'test only')
    assert done.returncode == 0, done.stderr
    assert 'largest difference' in done.stdout and 'opset' in done.stdout
    return out


@pytest.fixture(scope='session')
def face(tmp_path_factory):
    img, points = render_face(77, 1, 384)
    path = tmp_path_factory.mktemp('face')/'face.png'
    cv2.imwrite(str(path), img[..., ::-1])
    return path, points


@pytest.fixture(scope='session')
def clip(face, tmp_path_factory):
    path = tmp_path_factory.mktemp('clip')/'clip.mp4'
    video, img = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (192, 192)), cv2.imread(str(face[0]))
    for k in range(5): video.write(cv2.resize(img, (192, 192)))
    video.release()
    return path


def table(path): return list(csv.DictReader(path.open()))


def points_of(row): return np.array([[float(row[f'{c}{k}']) for c in 'xy'] for k in range(1, 69)])


def test_export_contract(onnx):
    import onnxruntime
    session = onnxruntime.InferenceSession(onnx, providers=['CPUExecutionProvider'])
    said = session.get_modelmeta().custom_metadata_map
    size = int(said['img_size'])
    assert [(o.name, o.type, o.shape[1:]) for o in session.get_inputs()] == [('faces', 'tensor(float)', [3, size, size])]
    assert [(o.name, o.type, o.shape[1:]) for o in session.get_outputs()] == [('points', 'tensor(float)', [68, 2]), ('sigma', 'tensor(float)', [68])]
    assert said['licence'] == 'test only' and np.array(json.loads(said['reference'])).shape == (68, 3)
    assert {'name', 'model', 'points', 'pixels', 'nme', 'trained_on'} <= set(said) and '/' not in said['trained_on']
    for n in 1, 3: assert [o.shape for o in session.run(None, dict(faces=np.zeros((n, 3, size, size), np.float32)))] == [(n, 68, 2), (n, 68)]
    assert onnx.stat().st_size < 15e6


def test_light_predictor(onnx, face):
    "Agrees with PyTorch, in a process that never imports it."
    code = ('import sys; from flmk.predictor import load_predictor; from flmk.inference.landmarks import predict_crops; '
            'print(*predict_crops(load_predictor(sys.argv[1]), sys.argv[2])[0].ravel()); print(*{m.split(".")[0] for m in sys.modules} & {"torch", "torchvision", "fastai", "matplotlib"})')
    done = subprocess.run([sys.executable, '-c', code, str(onnx), str(face[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers, imported = done.stdout.split('\n')[:2]
    from flmk.inference.landmarks import predict_crops
    from flmk.torch_predictor import TorchPredictor
    assert imported == '' and abs(np.array(numbers.split(), float).reshape(68, 2) - predict_crops(TorchPredictor(best), face[0])[0]).max() < .05


def test_export_refused(tmp_path):
    refused(call('flmk_export', tmp_path/'none.pth.tar', tmp_path/'a.onnx'), 'none.pth.tar', 'missing')
    (tmp_path/'bad.pth.tar').write_text('no model')
    refused(call('flmk_export', tmp_path/'bad.pth.tar', tmp_path/'a.onnx'), 'bad.pth.tar')
    assert not (tmp_path/'a.onnx').exists()


def test_bad_onnx(onnx, face, tmp_path):
    half, foreign = tmp_path/'half.onnx', tmp_path/'foreign.onnx'
    half.write_bytes(onnx.read_bytes()[:9999])
    from onnx import helper
    value = [helper.make_tensor_value_info(n, 1, (1, 3)) for n in ('a', 'b')]
    graph = helper.make_graph([helper.make_node('Identity', ['a'], ['b'])], 'g', value[:1], value[1:])
    foreign.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString())
    for path, why in ((half, 'not an ONNX file'), (foreign, 'not one of flmk_export'), (tmp_path/'none.onnx', 'is missing')):
        refused(call('flmk_predict', face[0], '--model_path', path, '--out', tmp_path/'out'), path.name, why)
    assert not (tmp_path/'out').exists()


def failed(done, *words):
    "Exit status 2; the words are in what it says on standard error, which has no traceback."
    assert done.returncode == 2 and 'Traceback' not in done.stderr, done.stderr
    for word in words: assert word in done.stderr, done.stderr


def test_photographs(onnx, face, tmp_path):
    "A crop, and three files that are none: what can be read is done, and the rest is named."
    many = tmp_path/'many'; many.mkdir()
    (many/'face.png').write_bytes(face[0].read_bytes())
    (many/'cut.png').write_bytes(face[0].read_bytes()[:5000]); (many/'text.jpg').write_text('hello')
    cv2.imwrite(str(many/'dot.png'), np.zeros((1, 1, 3), np.uint8)); cv2.imwrite(str(many/'wall.png'), np.full((90, 200, 3), 99, np.uint8))
    before = {p: p.read_bytes() for p in many.iterdir()}
    for kind in [], ['--crops']:
        done = call('flmk_predict', many, '--model_path', onnx, '--out', tmp_path/'out', '--draw', '--overwrite', *kind)
        failed(done, '3 of 5 could not be read', 'cut.png', 'text.jpg', '1 x 1 pixels are too few', *([] if kind else ['no face found in', 'wall.png']))
    rows = table(tmp_path/'out/faces.csv')
    assert [Path(r['image']).name for r in rows] == ['face.png', 'wall.png'] and nme(points_of(rows[0]), face[1]) < 8
    assert sorted(p.name for p in (tmp_path/'out/drawn').iterdir()) == ['face.jpg', 'wall.jpg']
    assert {p: p.read_bytes() for p in many.iterdir()} == before


def test_both_kinds_agree(onnx, face, tmp_path):
    for name, model in ('a', onnx), ('b', best):
        done = call('flmk_predict', face[0], '--crops', '--model_path', model, '--out', tmp_path/name, '--format', 'json')
        assert done.returncode == 0, done.stderr
    a, b = (json.loads((tmp_path/name/'faces.json').read_text()) for name in 'ab')
    assert len(a['faces']) == len(b['faces']) == 1
    for key in 'points', 'sigma': assert abs(np.array(a['faces'][0][key]) - b['faces'][0][key]).max() < .05


def test_uncalibrated(face, tmp_path):
    "Who predicts photographs with a model that has not learnt what is no face is told how it learns; crops and calibrated models need no word."
    save_model(tmp_path/'fresh.pth.tar', create_model('mobilenet_v3_small_integral', 64), 'mobilenet_v3_small_integral', 64)
    for model, options, told in ((tmp_path/'fresh.pth.tar', (), True), (tmp_path/'fresh.pth.tar', ('--crops',), False), (best, (), False)):
        done = call('flmk_predict', face[0], '--model_path', model, '--out', tmp_path, '--overwrite', *options)
        assert done.returncode == 0 and ('python -m flmk.presence' in done.stderr) == told, done.stderr


def test_piped(face, tmp_path):
    "The packaged model; a whole JSON on standard output and nothing else there; in several processes the same; nothing is overwritten unasked."
    import jsonschema
    schema = json.loads((root/'flmk/assets/faces.schema.json').read_text())
    done = [call('flmk_predict', face[0], '--crops', '--format', 'json', '--out', '-', '--workers', n) for n in (1, 2)]
    assert done[0].returncode == 0 and done[0].stdout == done[1].stdout, done[1].stderr
    jsonschema.validate(json.loads(done[0].stdout), schema)
    assert len(json.loads(done[0].stdout)['faces']) == 1 and '1 face(s) in 1 image(s)' in done[0].stderr
    args = face[0], '--crops', '--out', tmp_path
    assert call('flmk_predict', *args).returncode == 0
    before = (tmp_path/'faces.csv').read_bytes()
    refused(call('flmk_predict', *args, '--no-flip'), 'faces.csv exists already', '--overwrite')
    assert (tmp_path/'faces.csv').read_bytes() == before
    assert call('flmk_predict', *args, '--no-flip', '--overwrite').returncode == 0 and (tmp_path/'faces.csv').read_bytes() != before


def test_nothing_is_overwritten_unasked(face, tmp_path):
    "Crops of an earlier run, whose numbers are not known before; and a folder in the place of a copy is told before any work."
    name, args = face[0].stem, (face[0], '--crops', '--crop-out', tmp_path/'cut', '--out')
    assert call('flmk_predict', *args, tmp_path/'a').returncode == 0
    cut = tmp_path/f'cut/{name}_0.jpg'
    cut.write_bytes(b'mine')
    refused(call('flmk_predict', *args, tmp_path/'b'), f'{name}_0.jpg exists already', '--overwrite')
    assert cut.read_bytes() == b'mine' and not (tmp_path/'b').exists()
    assert call('flmk_predict', *args, tmp_path/'b', '--overwrite').returncode == 0 and cut.read_bytes() != b'mine'
    (tmp_path/f'c/drawn/{name}.jpg').mkdir(parents=True)
    refused(call('flmk_predict', face[0], '--crops', '--draw', '--overwrite', '--out', tmp_path/'c'), f'{name}.jpg is a folder')
    assert not (tmp_path/'c/faces.csv').exists()


def test_interrupted(face, tmp_path):
    "kill -9 in the middle keeps the rows so far, each whole."
    many = tmp_path/'many'; many.mkdir()
    for k in range(5000): (many/f'{k:04d}.png').symlink_to(face[0])   # a minute: time enough to be seen at work on a busy machine
    for format in 'csv', 'json':
        out = tmp_path/f'faces.{format}'
        job = subprocess.Popen([Path(sys.executable).with_name('flmk_predict'), many, '--crops', '--out', tmp_path, '--format', format], stderr=subprocess.DEVNULL)
        while job.poll() is None and (not out.exists() or out.stat().st_size < 100_000): time.sleep(.01)
        job.kill(); job.wait()
        rows = table(out) if format == 'csv' else json.loads(out.read_text())['faces']
        assert 10 < len(rows) < 5000 and [Path(r['image']).name for r in rows] == [f'{k:04d}.png' for k in range(len(rows))]


def test_video(onnx, clip, tmp_path):
    for smooth in [], ['--no-smooth', '--overwrite']:
        done = call('flmk_predict', clip, '--model_path', onnx, '--out', tmp_path, '--draw', *smooth)
        assert done.returncode == 0 and 'frames a second' in done.stderr and '5 frames' in done.stderr, done.stderr
        assert (tmp_path/'clip.csv').read_text().startswith('frame,seconds,seen,missed,face,x,y,width,height,score,x1,y1,')
        assert (tmp_path/'drawn/clip.mp4').stat().st_size > 1000 and len(list((tmp_path/'drawn').iterdir())) == 1


def test_predict_refused(onnx, face, tmp_path):
    (tmp_path/'bad.mp4').write_text('no video'); (tmp_path/'empty').mkdir()
    options = '--model_path', onnx, '--out', tmp_path/'out'
    for args, why in (([], 'nothing to predict'), ([tmp_path/'gone.jpg'], 'gone.jpg is missing'), ([tmp_path/'empty'], 'holds no image'), ([tmp_path/'bad.mp4'], 'no video'),
                      (['--camera', '98'], 'camera 98 gives no picture'), (['--camera', '-1'], 'camera'), ([face[0], '--format', 'xml'], 'csv or json'), ([face[0], '--draw', 'stars'], 'points, mesh or boxes'), ([face[0], '--min_score', '2'], 'min_score'),
                      ([face[0], '--detector', tmp_path/'bad.mp4'], 'FaceDetectorYN'), ([face[0], '--model_path', tmp_path/'none'], 'none')):
        refused(call('flmk_predict', *options, *args), why)
