"True to fastai: what a fastai user calls on a Learner of ours works, with and without the auxiliary net."
import matplotlib
import numpy as np
import pytest
from PIL import Image

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from fastai.interpret import Interpretation
from fastai.learner import load_learner

from flmk.core.files import read_image
from flmk.core.points import from_normalised
from flmk.inference.landmarks import predict_crops
from flmk.predictor import load_predictor
from flmk.render.practice import practice_data
from flmk.train import face_learner, Recipe, recipe_dataloaders
from flmk.model_file import save_model

FILES = sorted((practice_data()/'AFLW/data/aflw_test').glob('*.jpg'))


@pytest.fixture(scope='module', params=[False, True], ids=['points', 'auxiliary'])
def learn(request, tmp_path_factory):
    "A Learner after one short epoch."
    plt.close('all')
    recipe = Recipe(img_size=64, per_epoch=64, bs=16, auxiliary=request.param)
    learn = face_learner(recipe_dataloaders(practice_data(), recipe), recipe, tmp_path_factory.mktemp('learner'))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1)
    yield learn


def drawn():
    "How many pictures with something in them the newest figure has; it is closed."
    n = sum(bool(ax.images) for ax in plt.gcf().axes)
    plt.close('all')
    return n


def test_pictures(learn):
    learn.dls.show_batch(max_n=6)
    assert drawn() == 6
    with learn.no_bar(): learn.show_results(max_n=4)
    assert drawn() == 8                                                        # the truth above, predictions below
    with learn.no_bar(): Interpretation.from_learner(learn).plot_top_losses(9)
    assert drawn() == 9
    learn.recorder.plot_sched()
    assert len(plt.gcf().axes) == 2
    plt.close('all')
    with learn.no_bar(), learn.no_logging(): assert 1e-7 < learn.lr_find(num_it=12).valley < 10
    assert len(plt.gcf().axes) == 1
    plt.close('all')


def test_predict(learn):
    "A path, its text, an array and a PIL image are the same picture."
    with learn.no_bar(): answers = [learn.predict(o)[0] for o in (FILES[0], str(FILES[0]), read_image(FILES[0]), Image.open(FILES[0]))]
    assert answers[0].shape == (68, 2)
    for a in answers[1:]: assert np.abs(np.array(a) - np.array(answers[0])).max() < 1e-3


def test_folder(learn, tmp_path):
    "`test_dl` and `get_preds` on new files say what `predict_crops` says of the saved model, within .05 px of 384."
    net = getattr(learn.model, 'model', learn.model)
    save_model(tmp_path/'m.pth.tar', net, 'mobilenet_v3_small_integral', 64)
    with learn.no_bar(): unit = learn.get_preds(dl=learn.dls.test_dl(FILES))[0]
    want = predict_crops(load_predictor(tmp_path/'m.pth.tar'), FILES)[0]
    assert np.abs(from_normalised(unit.numpy(), 160) - want).max()*384/160 < .05


def test_export(learn):
    learn.export('whole.pkl')
    again = load_learner(learn.path/'whole.pkl')
    with learn.no_bar(), again.no_bar():
        assert np.abs(np.array(again.predict(FILES[1])[0]) - np.array(learn.predict(FILES[1])[0])).max() < 1e-4
