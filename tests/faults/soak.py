"""Many pictures and a long video through `flmk_predict`, by hand: does memory grow, do files stay open? `python tests/faults/soak.py FOLDER [PICTURES] [MINUTES] [LIMIT]`; each of the two is stopped after LIMIT seconds.

The pictures are hard links to at most a hundred rendered crops; the video is a face that wanders about, 320 x 240 pixels, 25 frames a second."""
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np


def make_pictures(folder, n, distinct=100):
    from flmk.render.generate import render_face
    (folder/'faces').mkdir(parents=True); (folder/'many').mkdir()
    distinct = min(distinct, n)
    for k in range(distinct): cv2.imwrite(str(folder/f'faces/{k:03d}.jpg'), render_face(22, k, 384)[0][..., ::-1])
    for k in range(n): os.link(folder/f'faces/{k % distinct:03d}.jpg', folder/f'many/{k:05d}.jpg')


def make_video(folder, minutes):
    face = cv2.resize(cv2.imread(str(min((folder/'faces').iterdir()))), (200, 200), interpolation=cv2.INTER_AREA)
    video = cv2.VideoWriter(str(folder/'long.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 25, (320, 240))
    for n in range(round(minutes*60*25)):
        frame, x, y = np.full((240, 320, 3), 90, np.uint8), round(60 + 50*np.sin(n/90)), round(20 + 18*np.cos(n/70))
        if n//25 % 40 < 38: frame[y:y + 200, x:x + 200] = face          # now and then it is away for two seconds
        video.write(frame)
    video.release()


def watch(*args, limit, every=5.):
    "Run a command, for `limit` seconds at most; seconds, resident megabytes and open files now and then."
    job, seen, begin = subprocess.Popen([str(Path(sys.executable).with_name('flmk_predict')), *map(str, args)]), [], time.monotonic()
    while job.poll() is None:
        try: seen.append((time.monotonic() - begin, int(Path(f'/proc/{job.pid}/statm').read_text().split()[1])*4096/1e6, len(os.listdir(f'/proc/{job.pid}/fd'))))
        except (FileNotFoundError, ProcessLookupError): break
        time.sleep(every)
        if time.monotonic() - begin > limit: job.kill(); break
    assert job.wait() in (0, -9)
    return np.array(seen[:-1])


def tell(what, seen):
    "A line for the table: memory and open files in each tenth of the time."
    tenths = [o.max(0) for o in np.array_split(seen, 10) if len(o)]              # a run of few pictures is over soon
    print(f'{what}: {seen[-1, 0]:.0f} s; MB in each tenth', *(f'{t[1]:.0f}' for t in tenths), '; open files', *(f'{t[2]:.0f}' for t in tenths), flush=True)


def lines(path): return sum(1 for _ in open(path))


def main(folder, pictures=20_000, minutes=30, limit=7200):
    folder, limit = Path(folder), float(limit)
    make_pictures(folder, int(pictures))
    seen = watch(folder/'many', '--crops', '--out', folder/'out', limit=limit)
    tell(f'{lines(folder/"out/faces.csv") - 1} of {pictures} pictures', seen)
    make_video(folder, float(minutes))
    seen = watch(folder/'long.mp4', '--out', folder/'out_video', limit=limit)
    tell(f'{minutes} minutes of video, {lines(folder/"out_video/long.csv") - 1} rows', seen)


if __name__ == '__main__': main(*sys.argv[1:])
