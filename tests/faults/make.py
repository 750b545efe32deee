"""Broken and hostile files, each with the line that it must give: `python tests/faults/make.py FOLDER [SEED]` writes them for use by hand.

The seed decides where files are cut and which bits are flipped; everything else is written down here."""
import io
import os
import pickle
import socket
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def png(width, height, rows=b''):
    "A PNG whose header promises any size."
    chunk = lambda name, data: struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def picture(rng, suffix='JPEG', size=(60, 40), **options):
    im = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3)).astype(np.uint8))
    f = io.BytesIO(); im.save(f, suffix, **options)
    return f.getvalue()


def image_files(folder, rng):
    "Write files that are no usable images; returns a list of (path, words of the line)."
    jpeg = picture(rng)
    contents = {
        'empty.jpg': (b'', 'the file is empty'),
        'text.jpg': (b'I am not a picture', 'no image, or not of a format'),
        'random.jpg': (rng.bytes(5000), 'no image, or not of a format'),
        'header.jpg': (jpeg[:2], 'no image, or not of a format'),
        'cut.jpg': (jpeg[:int(rng.integers(len(jpeg)//3, len(jpeg) - 200))], 'truncated'),
        'cut.png': (picture(rng, 'PNG')[:-1000], 'cannot be read as an image'),
        'cut.webp': (picture(rng, 'WEBP')[:-1000], 'cannot be read as an image'),
        'cut.tif': (picture(rng, 'TIFF')[:-3000], 'cannot be read as an image'),
        'program.jpg': (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n', 'not of a format that is read here'),
        'vector.png': (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 'not of a format that is read here'),
        'movie.jpg': (picture(rng, 'PCX'), 'not of a format that is read here'),
        'icon.png': (picture(rng, 'ICO'), 'not of a format that is read here'),
        'huge.png': (png(13_300, 13_300), '13300 x 13300 pixels, more than 64,000,000'),
        'gigantic.png': (png(2**31 - 1, 2**31 - 1), 'cannot be read as an image'),
        'stripe.png': (png(65_000, 20), '65000 x 20 pixels: a side is at most'),
        'column.png': (png(20, 30_000), '20 x 30000 pixels: a side is at most'),
        'nothing.png': (png(0, 0), 'cannot be read as an image'),
        'bomb.png': (png(7900, 7900), 'cannot be read as an image'),
    }
    for name, (data, _) in contents.items(): (folder/name).write_bytes(data)
    os.mkfifo(folder/'pipe.jpg')
    with socket.socket(socket.AF_UNIX) as s: s.bind(os.path.relpath(folder/'socket.jpg'))
    (folder/'folder.jpg').mkdir()
    (folder/'device.jpg').symlink_to('/dev/zero')
    (folder/'loop.jpg').symlink_to('loop.jpg')
    odd = dict.fromkeys(('pipe.jpg', 'folder.jpg', 'device.jpg'), 'no regular file') | {'socket.jpg': 'cannot be read', 'loop.jpg': 'cannot be read', 'none.jpg': 'is missing'}
    return [(folder/name, why) for name, (_, why) in contents.items()] + [(folder/name, why) for name, why in odd.items()]


class Call:
    "Pickles as a call of any function."
    def __init__(self, func, *args): self.call = func, args
    def __reduce__(self): return self.call


def deep(n):
    "A list in a list, n times, as pickle code; pickling one itself would recurse."
    return b'\x80\x04' + b']'*n + b'a'*(n - 1) + b'.'


def annotation_files(folder, rng, marker):
    "Write annot.pkl files, each in a folder, that are unusable; `marker` is what a hostile one would make. Returns a list of (folder, words of the line)."
    points = [(float(x), float(y)) for x, y in rng.uniform(0, 384, (68, 2))]
    good = pickle.dumps((['a.jpg'], [points]), 4)
    contents = {
        'empty': (b'', 'not a pickle of plain data'),
        'text': (b'annot', 'not a pickle of plain data'),
        'cut': (good[:int(rng.integers(2, len(good) - 1))], 'not a pickle of plain data'),
        'system': (pickle.dumps((['a.jpg'], Call(os.system, f'touch {marker}'))), 'which is code, not data'),
        'eval': (pickle.dumps((['a.jpg'], Call(eval, f'open({str(marker)!r}, "w")'))), 'which is code, not data'),
        'getattr': (pickle.dumps((['a.jpg'], Call(getattr, 'word', 'upper'))), 'which is code, not data'),
        'load': (pickle.dumps((['a.jpg'], Call(np.load, str(marker)))), 'not data'),
        'two lines': (b"cos\nsystem\n(S'echo'\ntR.", 'which is code, not data'),
        'outside': (b'Pa\\nb\n.', 'refers to something outside the file'),
        'extension': (b'\x80\x02\x82\x07.', 'not a pickle of plain data'),
        'encoding': (b"c_codecs\nencode\n(Va\nVrot13\ntR.", 'not a pickle of plain data'),
        'no pair': (pickle.dumps([1, 2, 3]), 'not a pair of lists'),
        'a word': (pickle.dumps('ab'), 'not a pair of lists'),
        'points without dimension': (pickle.dumps((np.array('a.jpg'), np.array(3.))), 'not a pair of lists'),
        'nested': (deep(5000), 'not a pair of lists'),
        'lengths': (pickle.dumps((['a.jpg', 'b.jpg'], [points])), '2 file names but 1 sets'),
        'no image': (pickle.dumps(([], [])), 'lists no image'),
    }
    entries = {
        'short': (['a.jpg'], [points[:67]], 'the shape (67, 2)'),
        'huge integer': (['a.jpg'], [[(10**400, 0)] + points[1:]], 'not pairs of numbers'),
        'words': (['a.jpg'], [['xy']*68], 'not pairs of numbers'),
        'none': (['a.jpg'], [None], 'the shape ()'),
        'NaN': (['a.jpg'], [[(float('nan'), 0.)] + points[1:]], 'NaN or infinite'),
        'one place': (['a.jpg'], [[(3., 3.)]*68], 'all landmarks are in one place'),
        'slash': (['../a.jpg'], [points], 'not a plain file name'),
        'root': (['/etc/passwd'], [points], 'not a plain file name'),
        'number': ([7], [points], 'not a plain file name'),
        'list': ([['a.jpg', 'b\nc']], [points], 'not a plain file name'),
        'tab': (['a\tb.jpg'], [points], r'a\tb.jpg: the name has a control character'),
        'line': (['a\nb.jpg'], [points], r'a\nb.jpg: the name has a control character'),
        'no-break space': (['a\xa0b.jpg'], [points], r'a\xa0b.jpg: the name has a control character'),
        'line separator': (['a\u2028b.jpg'], [points], r'a\u2028b.jpg: the name has a control character'),
        'escape': (['\x1b[31ma.jpg'], [points], r'\x1b[31ma.jpg: the name has a control character'),
        'surrogate': (['\udcff.jpg'], [points], r'\xff.jpg: the name has a control character'),
        'long': (['李'*100 + '.jpg'], [points], 'the name is too long'),
    }
    contents |= {name: (pickle.dumps((names, landmarks)), why) for name, (names, landmarks, why) in entries.items()}
    for name, (data, _) in contents.items():
        (folder/name).mkdir()
        (folder/name/'annot.pkl').write_bytes(data)
    (folder/'pipe').mkdir(); os.mkfifo(folder/'pipe/annot.pkl')
    (folder/'folder/annot.pkl').mkdir(parents=True)
    (folder/'nothing').mkdir()
    return [(folder/name, why) for name, (_, why) in contents.items()] + [(folder/'pipe', 'no regular file'), (folder/'folder', 'no regular file'),
                                                                          (folder/'nothing', 'annot.pkl is missing'), (folder/'nowhere', 'nowhere is missing')]


def flipped(data, rng, n=1):
    "The same bytes with n bits flipped."
    data = bytearray(data)
    for k in rng.integers(len(data)*8, size=n): data[k//8] ^= 1 << k % 8
    return bytes(data)


def main(folder, seed=0):
    rng, folder = np.random.default_rng(int(seed)), Path(folder)
    for name in 'images', 'annotations': (folder/name).mkdir(parents=True)
    for path, why in image_files(folder/'images', rng) + annotation_files(folder/'annotations', rng, folder/'was-here'): print(f'{path}: {why}')


if __name__ == '__main__': main(*sys.argv[1:])
