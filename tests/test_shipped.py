"The models in the root are what the README says they are."
from pathlib import Path

import numpy as np
import pytest

from flmk.core.files import MAX_MODEL_BYTES
from flmk.core.metrics import nme
from flmk.inference.landmarks import predict_crops
from flmk.torch_predictor import TorchPredictor
from flmk.render.generate import render_face

root = Path(__file__).parent.parent


@pytest.mark.parametrize('name', ['best.pth.tar', 'best_rendered.pth.tar', 'landmarks.pth.tar', 'landmarks_small.pth.tar'])
def test_shipped(name):
    "It loads, keeps the challenge's limit, and predicts twenty faces of a seed that it was not trained on."
    model = TorchPredictor(root/name)                     # refuses anything but float32
    assert (root/name).stat().st_size <= MAX_MODEL_BYTES
    images, points = zip(*(render_face(77, k, 192) for k in range(20)))
    assert nme(predict_crops(model, list(images))[0], np.stack(points), 192).mean() < 2.5
