"What the page has to know of the models beside it, a scene to try, and icons: `python web/describe.py web/dist` writes model.json and PNGs."
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from flmk.core.files import atomic_write
from flmk.core.points import CLOSED_REGIONS, draw_points, region_colours, REFERENCE_SHAPE, REGIONS
from flmk.inference.detector import DETECTOR_STRIDES, OnnxDetector
from flmk.inference.faces import DETECTOR_THRESHOLD, MAX_SEARCH_SIDE
from flmk.inference.landmarks import max_sigma, OnnxPredictor
from flmk.inference.photos import LEAST_EVIDENCE, SCORE_SCALE, SURE_SCORE, UNSEEN
from flmk.render.scenes import paste_cutout, render_backgrounds, render_cutouts

FIVE = [[*range(36, 42)], [*range(42, 48)], [30], [48], [54]]          # eyes, nose, corners of the mouth: flmk.core.crop.five_points


def of_ibug(scheme, points):
    "Where a scheme has these of the 68, or None where one is missing."
    where = {k: i for i, k in enumerate(scheme.ibug or []) if k is not None}
    return [where[k] for k in points] if all(k in where for k in points) else None


def describe(landmarks, detector):
    "model.json, as a dict."
    model, search = OnnxPredictor(landmarks), OnnxDetector(detector)
    scheme, said = model.scheme, model.info
    five = [of_ibug(scheme, points) for points in FIVE]
    return dict({k: said[k] for k in ('name', 'nme', 'trained_on', 'licence')}, img_size=model.img_size, max_sigma=max_sigma(model),
                regions=scheme.regions, closed=scheme.closed, colours=region_colours(scheme), flip=scheme.flip_order, ibug=scheme.ibug,
                crop=scheme.crop, five=None if None in five else five, nose=(of_ibug(scheme, [30]) or [None])[0],
                reference=REFERENCE_SHAPE.round(4).tolist(), head=dict(regions=REGIONS, closed=CLOSED_REGIONS),
                detector=dict(sides=search.sides, strides=DETECTOR_STRIDES, threshold=DETECTOR_THRESHOLD, sure=SURE_SCORE, scale=SCORE_SCALE,
                              most=MAX_SEARCH_SIDE, least=LEAST_EVIDENCE, unseen=UNSEEN))


def three_people(seed=3):
    "A rendered scene: (540, 960, 3) uint8."
    rng, heads = np.random.default_rng(seed), render_cutouts(12, 77, size=400)
    image = cv2.resize(render_backgrounds(1, 8)[0], (960, 960)).astype(np.float32)/255
    for n, (k, side, x, y, angle) in enumerate([(4, 200, 180, 330, .08), (11, 210, 480, 340, -.04), (0, 210, 770, 330, -.06)]):     # heads that no edge cuts
        paste_cutout(rng, image, np.zeros((960, 960), np.uint8), n + 1, heads, k, side, np.array([x, y]), angle)
    return np.uint8(np.clip(image[:540], 0, 1)*255 + .5)


def icon(size):
    "The reference head's points, on a dark ground."
    points = (REFERENCE_SHAPE[:, :2]*.8 + .5)*size
    return draw_points(np.full((size, size, 3), (10, 60, 80), np.uint8), points)


def main(out):
    "Write everything into the site's folder."
    pictures = {'example.png': three_people(), 'icon-192.png': icon(192), 'icon-512.png': icon(512)}
    with atomic_write(out/'model.json') as part: part.write_text(json.dumps(describe(out/'landmarks.onnx', out/'faces.onnx')))
    for name, image in pictures.items():
        with atomic_write(out/name) as part: part.write_bytes(cv2.imencode('.png', image[..., ::-1])[1].tobytes())


if __name__ == '__main__': main(Path(sys.argv[1]))
