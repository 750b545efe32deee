"Writes what the page has to know beside the model: `python web/describe.py best.pth.tar web/dist` makes model.json and example.png."
import json
import sys
from pathlib import Path

import cv2

from flmk.faces import render_face
from flmk.files import write_whole
from flmk.landmarks import CLOSED, COLOURS, REFERENCE, REGIONS
from flmk.models import count_parameters, load_model

model, out = sys.argv[1], Path(sys.argv[2])
net, info = load_model(model)
about = dict(name=info['model'], file=Path(model).name, img_size=info['img_size'], nme=info['nme'], parameters=count_parameters(net),
             reference=REFERENCE.round(4).tolist(), regions=REGIONS, closed=CLOSED, colours=COLOURS)
with write_whole(out/'model.json') as part: part.write_text(json.dumps(about))
with write_whole(out/'example.png') as part: part.write_bytes(cv2.imencode('.png', render_face(5, 7, 384)[0][..., ::-1])[1].tobytes())
