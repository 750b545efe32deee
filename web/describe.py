"What the page has to know of the model beside it, and a face to try: `python web/describe.py web/dist` writes model.json and example.png."
import json
import sys
from pathlib import Path

import cv2
import onnxruntime

from flmk.core.files import atomic_write
from flmk.core.points import CLOSED_REGIONS, REGION_COLOURS, REGIONS
from flmk.render.generate import render_face

out = Path(sys.argv[1])
said = onnxruntime.InferenceSession(out/'landmarks.onnx').get_modelmeta().custom_metadata_map      # which onnxruntime-web does not show
about = dict(name=said['name'], img_size=int(said['img_size']), nme=said['nme'], trained_on=said['trained_on'], licence=said['licence'],
             reference=json.loads(said['reference']), regions=REGIONS, closed=CLOSED_REGIONS, colours=REGION_COLOURS)
with atomic_write(out/'model.json') as part: part.write_text(json.dumps(about))
with atomic_write(out/'example.png') as part: part.write_bytes(cv2.imencode('.png', render_face(5, 7, 384)[0][..., ::-1])[1].tobytes())
