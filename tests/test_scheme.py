"Other landmark schemes than the 68, from a description to every command; 5, 98 and 106 points, made up from rendered faces."
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from fastai.callback.core import Callback, CancelFitException

from flmk.core.annotations import read_annotations, write_annotations
from flmk.core.files import InputError
from flmk.core.points import IBUG68, REFERENCE_SHAPE, flip_points, read_scheme, scheme_dict
from flmk.core.prepare import flmk_prepare
from flmk.data import FaceFolder, face_dataloaders
from flmk.inference.photos import draw_faces
from flmk.model_file import load_model, read_checkpoint, save_model, write_checkpoint
from flmk.models import create_model
from flmk.predictor import load_predictor, predict
from flmk.render.write import flmk_faces
from flmk.sigma import calibrate_sigma
from flmk.submit import flmk_test
from flmk.tools.adapt import flmk_adapt
from flmk.tools.export import flmk_export
from flmk.tools.predict import flmk_predict
from flmk.tools.report import flmk_eval
from flmk.train import Recipe, train

TINY = dict(model='mobilenet_v3_small_integral', img_size=64, epochs=1, per_epoch=32, bs=16)


def between(pairs):
    "Rows of a matrix that makes points half-way between pairs of the 68."
    rows = np.zeros((len(pairs), 68))
    for row, (a, b) in zip(rows, pairs): row[a] += .5; row[b] += .5
    return rows


def along(first, last): return [(k, k + 1) for k in range(first, last)]


def ring(first, last): return along(first, last) + [(last, first)]


def scheme_of(name, matrix, regions, ibug=None, **more):
    "A description whose mirror is found from the matrix: the point that is made of the mirrored ones."
    mirrored = matrix[:, IBUG68.flip_order]
    order = [int(np.flatnonzero((matrix == row).all(1))[0]) for row in mirrored]
    return dict(name=name, n_points=len(matrix), regions=regions, flip_order=order, ibug=ibug, **more)


FIVE = np.eye(68)[[36, 45, 30, 48, 54]]
OUTLINES = along(0, 16) + along(17, 21) + along(22, 26)
MORE = {98: OUTLINES + along(31, 35) + [(37, 38), (43, 44)], 106: OUTLINES + ring(36, 41) + ring(42, 47) + [(38, 40), (43, 47)]}
MATRICES = {5: FIVE, **{n: np.concatenate([np.eye(68), between(pairs)]) for n, pairs in MORE.items()}}
SCHEMES = {5: scheme_of('made-up 5', FIVE, dict(eyes=[0, 1], nose=[2], mouth=[3, 4]), [36, 45, 30, 48, 54], crop=[3.4, .02]),
           98: scheme_of('made-up 98', MATRICES[98], {**IBUG68.regions, 'between': list(range(68, 98))}, [*range(68), *[None]*30], closed=['left_eye', 'right_eye']),
           106: scheme_of('made-up 106', MATRICES[106], {**IBUG68.regions, 'between': list(range(68, 106))})}


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
    "20 rendered faces, and their 68 points."
    out = tmp_path_factory.mktemp('faces')/'faces'
    flmk_faces(n=20, seed=70002, out=out, size=96, workers=1)
    return out, np.array(read_annotations(out)[1])


@pytest.fixture(scope='module', params=[5, 98, 106])
def trained(request, faces, tmp_path_factory):
    "Prepared and trained, the way from a description to a model."
    n, tmp = request.param, tmp_path_factory.mktemp('scheme')
    (tmp/'scheme.json').write_text(json.dumps(SCHEMES[n]))
    for name in 'synthetics_train', 'aflw_val':
        shutil.copytree(faces[0], tmp/'AFLW'/name)
        write_annotations(tmp/'AFLW'/name, *zip(*[(f'{k:06d}.jpg', p) for k, p in enumerate(MATRICES[n] @ faces[1])]))
    flmk_prepare(tmp/'AFLW', tmp/'data', size=72, scheme=tmp/'scheme.json')
    train(Recipe(**TINY), tmp/'data', tmp/'run')
    return n, tmp, tmp/'run/best_model/best.pth.tar'


def test_the_mirror_of_a_scheme():
    "The reference head is symmetric: mirrored and renamed it is itself, in every scheme."
    for n, said in SCHEMES.items():
        head = MATRICES[n] @ REFERENCE_SHAPE[:, :2]*100 + 150
        np.testing.assert_allclose(flip_points(head, 301, said['flip_order']), head, atol=.05)


def test_prepared_folder(trained, faces):
    n, tmp, _ = trained
    folder = FaceFolder(tmp/'data/AFLW_train_data')
    assert folder.scheme == read_scheme(tmp/'scheme.json') and folder.points.shape == (20, n, 2)
    np.testing.assert_allclose(folder.points, (MATRICES[n] @ faces[1] + .5)*72/96 - .5, atol=.01)
    assert np.isfinite(folder.angles).all() == (n != 106)                          # of the 106 it was not said which are among the 68
    with pytest.raises(InputError, match='another annot.pkl, size, scheme'): flmk_prepare(tmp/'AFLW', tmp/'data', size=72)


def test_model_says_its_points(trained):
    n, tmp, path = trained
    model, info = load_model(path)
    assert info['scheme'] == read_scheme(tmp/'scheme.json')
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, n, 2)
    scores = flmk_eval(path, tmp/'AFLW', tmp/'eval', report=tmp/'report.html')['run']
    assert scores.per_point.shape == (20, n) and 'the %d points' % n in (tmp/'report.html').read_text()
    for region in SCHEMES[n]['regions']: assert region.replace('_', ' ') in (tmp/'report.html').read_text()


def test_flip_is_the_schemes(trained, faces):
    "Averaged with its mirror image, a face and its mirror image get mirrored points."
    n, _, path = trained
    from flmk.core.files import read_image
    from flmk.inference.landmarks import predict_crops
    model, img = load_predictor(path), read_image(faces[0]/'000003.jpg')
    both = predict_crops(model, [img, np.ascontiguousarray(img[:, ::-1])], flip=True)[0]
    np.testing.assert_allclose(flip_points(both[0], 96, SCHEMES[n]['flip_order']), both[1], atol=.02)


def test_tables_and_onnx(trained, faces, tmp_path):
    n, _, path = trained
    flmk_export(path, tmp_path/'model.onnx', images=str(faces[0]))
    said = onnxruntime.InferenceSession(tmp_path/'model.onnx').get_modelmeta().custom_metadata_map
    assert json.loads(said['scheme']) == scheme_dict(load_model(path)[1]['scheme']) and 'reference' not in said
    found = []
    for model in path, tmp_path/'model.onnx':
        flmk_predict([faces[0]], model, tmp_path/model.suffix, crops=True)
        with open(tmp_path/model.suffix/'faces.csv') as f: rows = list(csv.DictReader(f))
        assert f'x{n}' in rows[0] and f'sigma{n}' in rows[0] and f'x{n + 1}' not in rows[0] and (rows[0]['yaw'] == '') == (n == 106)
        found.append(np.array([[float(r[f'{c}{k}']) for k in range(1, n + 1) for c in 'xy'] for r in rows]))
    assert abs(found[0] - found[1]).max() < .02
    flmk_predict([faces[0]], path, tmp_path/'json', crops=True, format='json', draw='points')
    table = json.loads((tmp_path/'json/faces.json').read_text())
    assert table['scheme']['n_points'] == n == len(table['faces'][0]['points']) and (tmp_path/'json/drawn/000000.jpg').exists()
    jsonschema = pytest.importorskip('jsonschema')
    import flmk
    jsonschema.validate(table, json.loads((Path(flmk.__file__).parent/'assets/faces.schema.json').read_text()))


def test_whole_photographs(trained, faces):
    "Found, cropped, refined and drawn with the scheme's own crop."
    n, _, path = trained
    from flmk.core.files import read_image
    from flmk.inference.photos import predict_boxes
    img, model = np.zeros((300, 400, 3), np.uint8), load_predictor(path)
    img[100:196, 150:246] = read_image(faces[0]/'000003.jpg')
    kept, points, sigma = predict_boxes(model, img, np.array([[166., 116, 64, 64]]), keep_all=True)
    assert points.shape == (1, n, 2) and sigma.shape == (1, n)


def test_what_needs_the_68_says_so(trained, faces, tmp_path):
    n, tmp, path = trained
    with pytest.raises(InputError, match=f'predicts {n} points, a submission has 68'): flmk_test(path, faces[0], tmp_path)
    with pytest.raises(InputError, match='only the iBUG 68'): flmk_adapt(path, tmp/'AFLW/aflw_val', tmp_path/'a.pth.tar')
    with pytest.raises(InputError, match='a mesh is there for the iBUG 68'): draw_faces(np.zeros((96, 96, 3), np.uint8), predict(faces[0]/'000000.jpg', path, crops=True), 'mesh')
    with pytest.raises(InputError, match='rendered faces have the iBUG 68'):
        from flmk.sigma import calibrate_model
        calibrate_model(path)
    with pytest.raises(InputError, match='50 are needed'): calibrate_sigma(path, tmp/'AFLW/aflw_val')      # with faces of its own it would
    with pytest.raises(InputError, match=r'not \(%d, 2\)' % n): flmk_eval(path, _with_68(faces, tmp_path), tmp_path/'eval')
    if n == 106:
        with pytest.raises(InputError, match='no pose angles'): train(Recipe(**TINY, auxiliary=True), tmp/'data', tmp_path/'run')


def _with_68(faces, tmp):
    shutil.copytree(faces[0], tmp/'AFLW/aflw_val')
    return tmp/'AFLW'


def test_folders_of_two_schemes(trained, faces, tmp_path):
    n, tmp, _ = trained
    shutil.copytree(tmp/'data', tmp_path/'data')
    note = tmp_path/'data/AFLW_validation_data/prepared.json'
    note.write_text(json.dumps({**json.loads(note.read_text()), 'scheme': scheme_dict(read_scheme(tmp/'scheme.json')) | dict(name='another')}))
    with pytest.raises(InputError, match='other points'): face_dataloaders(tmp_path/'data', 64)


@pytest.mark.parametrize('change', [dict(n_points=7), dict(flip_order=[0, 1, 2, 3, 9]), dict(regions='all'), dict(name='\x1b[31m'), 'no scheme', dict(extra=1)])
def test_hostile_files(tmp_path, change):
    "A description that makes no sense is refused wherever it comes from."
    good = SCHEMES[5]
    said = {**good, **change} if isinstance(change, dict) else change
    save_model(tmp_path/'m.pth.tar', create_model('pfld', 64, 5), 'pfld', 64, scheme=_read(tmp_path, good))
    assert load_model(tmp_path/'m.pth.tar')[1]['scheme'].n_points == 5
    write_checkpoint(tmp_path/'m.pth.tar', {**read_checkpoint(tmp_path/'m.pth.tar'), 'scheme': said})
    with pytest.raises(InputError, match="wrong 'scheme'"): load_model(tmp_path/'m.pth.tar')
    (tmp_path/'data').mkdir()
    (tmp_path/'data/prepared.json').write_text(json.dumps(dict(scheme=said)))
    with pytest.raises(InputError, match='prepared.json'): FaceFolder(tmp_path/'data')


def _read(tmp, said):
    (tmp/'scheme.json').write_text(json.dumps(said))
    return read_scheme(tmp/'scheme.json')


def test_the_68_write_what_they_wrote_before(faces, tmp_path):
    "No trace of a scheme where it is the default: files of before and after are alike."
    shutil.copytree(faces[0], tmp_path/'AFLW/synthetics_train'); shutil.copytree(faces[0], tmp_path/'AFLW/aflw_val')
    flmk_prepare(tmp_path/'AFLW', tmp_path/'data', size=72)
    assert set(json.loads((tmp_path/'data/AFLW_train_data/prepared.json').read_text())) == {'version', 'annot_sha256', 'size'}
    save_model(tmp_path/'m.pth.tar', create_model('pfld', 64), 'pfld', 64)
    assert 'scheme' not in read_checkpoint(tmp_path/'m.pth.tar') and load_model(tmp_path/'m.pth.tar')[1]['scheme'] == IBUG68
    for name in 'best.pth.tar', 'best_rendered.pth.tar', 'landmarks.pth.tar', 'landmarks_small.pth.tar': assert load_model(Path(__file__).parent.parent/name)[1]['scheme'] == IBUG68


def test_going_on_from_other_points(trained, faces, tmp_path, capsys):
    "From the shipped 68: every layer but the last, whose rows are taken for the points that are among the 68; and it is written down."
    n, tmp, _ = trained
    root = Path(__file__).parent.parent
    recipe = Recipe(load_model(root/'landmarks_small.pth.tar')[1]['model'], 96, epochs=2, per_epoch=32, bs=16, lr=1e-5)
    train(recipe, tmp/'data', tmp_path/'run', init=root/'landmarks_small.pth.tar', cbs=[_Stop(1)])
    said = capsys.readouterr().out
    assert f'{ {5: 5, 98: 68, 106: 0}[n]} of {n} points taken from iBUG 68' in said and 'learned anew: late.maps.' in said
    train(recipe, tmp/'data', tmp_path/'run', init=root/'landmarks_small.pth.tar', resume=True)       # after an interruption it still knows
    settings = load_model(tmp_path/'run/best_model/best.pth.tar')[1]['settings']
    assert settings['init'] == 'landmarks_small.pth.tar' and settings['init_checksum'] == load_model(root/'landmarks_small.pth.tar')[1]['checksum']
    assert len(settings['init_new_layers']) == 1 and settings['init_new_layers'][0].startswith('late.maps.') and settings['epochs_done'] >= 1
    assert (tmp_path/'run/best_model/best.md').read_text().count('init_checksum') == 1
    if n == 5:                                                                                      # hardly trained, it still knows the corners of the eyes
        scores = flmk_eval(tmp_path/'run/best_model/best.pth.tar', tmp/'AFLW', tmp_path/'eval')['run']
        assert scores.nme.mean() < 8, scores.nme.mean()


class _Stop(Callback):
    "Ends a training after so many epochs."
    order = 99
    def __init__(self, epochs): self.epochs = epochs
    def after_epoch(self):
        if self.epoch + 1 >= self.epochs: raise CancelFitException()
