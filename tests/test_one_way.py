"Four ways from an image file to its landmarks, two kinds of model: one answer."
import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from flmk.core.annotations import write_annotations
from flmk.core.files import read_image
from flmk.inference.landmarks import Crop, predict_crops
from flmk.predictor import load_predictor
from flmk.render.generate import render_face
from flmk.submit import flmk_test
from flmk.tools.export import flmk_export
from flmk.tools.predict import flmk_predict
from flmk.tools.report import flmk_eval

root = Path(__file__).parent.parent
N = 20


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
    "Twenty rendered faces as files, sides of 384 and of 640 pixels, half of them JPEGs (which are decoded at a fraction of their size), with annot.pkl."
    folder = tmp_path_factory.mktemp('source')/'aflw_val'; folder.mkdir()
    names, points = [], []
    for k in range(N):
        side = 384 if k % 3 else 640
        image, truth = render_face(1717, k, side)
        names.append(f'{k:02d}.{"jpg" if k % 2 else "png"}'); points.append(truth)
        cv2.imwrite(str(folder/names[-1]), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_annotations(folder, names, points)
    return folder


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    "For 128 px: sides of 384 and 640 are whole multiples of it, and then each way to reduce a picture is a mean over whole squares."
    onnx = tmp_path_factory.mktemp('onnx')/'landmarks.onnx'
    flmk_export(root/'landmarks_small.pth.tar', onnx, images=None)
    return root/'landmarks_small.pth.tar', onnx


def by_eval(model, folder, flip, out):
    scores = flmk_eval([model], folder.parent, out/'eval', flip)
    (s,) = scores.values()
    return {p.name: q for p, q in zip(s.paths, s.pred)}


def by_test(model, folder, flip, out):
    flmk_test(model_path=model, images=folder, out=out/'test', flip=flip)
    rows = [l.split() for l in (out/'test/solution.txt').read_text().splitlines()]
    return {r[0]: np.array(r[1:], float).reshape(68, 2) for r in rows}


def by_predict(model, folder, flip, out):
    flmk_predict([folder], model_path=model, out=out/'predict', crops=True, flip=flip)
    rows = csv.DictReader((out/'predict/faces.csv').open())
    return {Path(r['image']).name: np.array([[float(r[f'{c}{k}']) for c in 'xy'] for k in range(1, 69)]) for r in rows}


def by_notebook(model, folder, flip, out):
    paths = sorted(p for p in folder.iterdir() if p.suffix in ('.jpg', '.png'))
    return {p.name: q for p, q in zip(paths, predict_crops(load_predictor(model), paths, flip)[0])}


def test_one_answer(faces, models, tmp_path):
    "Within 0.05 px of a crop of 384, for every face, way and model, with and without a flip."
    side = {p.name: read_image(p).shape[0] for p in faces.iterdir() if p.suffix in ('.jpg', '.png')}
    for flip in False, True:
        answers = {f'{way.__name__} {Path(m).name}': way(m, faces, flip, tmp_path/f'{flip}-{Path(m).name}') for way in (by_eval, by_test, by_predict, by_notebook) for m in models}
        first = answers.popitem()[1]
        assert len(first) == N
        for name, answer in answers.items():
            assert sorted(answer) == sorted(first), name
            gap = max(abs(answer[k] - first[k]).max()*384/side[k] for k in first)
            assert gap < .05, (name, flip, gap)


def test_video_frames(faces, models):
    "A frame's square, as video passes it on, gives what the file gives (PNGs: the same pixels)."
    paths = sorted(faces.glob('*.png'))
    frames = [np.pad(read_image(p), ((40, 10), (30, 20), (0, 0))) for p in paths]
    for m in map(load_predictor, models):
        of_files = predict_crops(m, paths, flip=True)
        of_frames = predict_crops(m, [Crop(f, (30, 40, f.shape[0] - 50)) for f in frames], flip=True)
        assert abs(of_frames[0] - (30, 40) - of_files[0]).max() < .05 and abs(of_frames[1] - of_files[1]).max() < .05


def test_light_imports():
    "Predicting never imports the packages of training."
    code = 'import sys, flmk.inference.photos, flmk.inference.video, flmk.tools.predict; print(*{m.split(".")[0] for m in sys.modules} & {"torch", "torchvision", "fastai", "matplotlib"})'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == '', done.stderr + done.stdout
