"""The notebooks as a web site, for `make docs`: python web/docs.py FOLDER"""
import html
import logging
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import Config

NBS = Path(__file__).parent.parent/'nbs'
FOLDERS = ('', 'core', 'render', 'inference', 'tools', 'solutions')
STYLE = '''<style>
nav.flmk { font: 15px/1.7 system-ui, sans-serif; padding: .6em 1.5em; background: #f3f5f7; border-bottom: 1px solid #d5dbe1 }
nav.flmk a { margin-right: 1em; color: #1b5e8a; text-decoration: none } nav.flmk a[aria-current] { font-weight: bold; color: inherit }
main { max-width: 62em; margin: auto } @media (max-width: 60em) { .jp-InputPrompt, .jp-OutputPrompt { display: none } }
</style>'''
# Exercises fail until they are written, and a slider needs a kernel: their outputs are left out.
CONFIG = Config(TagRemovePreprocessor=dict(enabled=True, remove_all_outputs_tags=['raises-exception', 'remove-output']),
                HTMLExporter=dict(preprocessors=['nbconvert.preprocessors.TagRemovePreprocessor'], exclude_input_prompt=True, exclude_output_prompt=True))


def notebooks(): return [p for folder in FOLDERS for p in sorted((NBS/folder).glob('[!._]*.ipynb'))]

def title(notebook): return re.search(r'^# (.+)', ''.join(notebook.cells[0].source), re.M)[1].strip()


def menu(path, names):
    "The index, the six chapters, and the notebooks before and after this one."
    order, up = list(names), '../'*(len(path.relative_to(NBS).parts) - 1)
    link = lambda p, text: f'<a href="{up}{p.relative_to(NBS).with_suffix(".html").as_posix()}"{" aria-current=page" if p == path else ""}>{html.escape(text)}</a>'
    chapters = [p for p in order if p.parent == NBS and re.match(r'index|0\d_', p.name)]
    chapters.sort(key=lambda p: p.name != 'index.ipynb')
    k = order.index(path)
    beside = [link(p, f'{arrow} {names[p]}') for arrow, p in (('←', order[k - 1] if k else None), ('→', order[k + 1] if k + 1 < len(order) else None)) if p and path not in chapters]
    return f'<nav class="flmk">{"".join(link(p, names[p]) for p in chapters)}<br>{"".join(beside)}</nav>'


def bring(link, path, out):
    "A file of the project beside the notebooks, such as RESULTS.md, is copied into the site."
    file = (path.parent/link).resolve()
    if not file.is_file() or NBS.resolve() in file.parents: return link
    name = file.relative_to(NBS.parent.resolve())
    (out/'files'/name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, out/'files'/name)
    return '../'*(len(path.relative_to(NBS).parts) - 1) + f'files/{name.as_posix()}'


def build(out):
    "Write every notebook as a page with a menu; links between notebooks become links between pages."
    logging.getLogger('traitlets').setLevel('ERROR')                        # it warns of each picture without a text
    exporter, books = HTMLExporter(config=CONFIG), {p: nbformat.read(p, 4) for p in notebooks()}
    names = {p: title(b) for p, b in books.items()}
    for path, book in books.items():
        page, _ = exporter.from_notebook_node(book, dict(metadata=dict(name=names[path])))
        page = re.sub(r'(?<=href=")(?![a-z]+:)[^"#]+(?=["#])', lambda m: bring(m[0], path, out), page)
        page = re.sub(r'href="(?![a-z]+:)([^"#]+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', page)
        page = page.replace('</head>', STYLE + '</head>', 1)
        page = re.sub(r'(<body[^>]*>)', lambda m: m[1] + menu(path, names), page, count=1)
        to = out/path.relative_to(NBS).with_suffix('.html')
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(page, encoding='utf-8')
    shutil.copytree(NBS/'images', out/'images', dirs_exist_ok=True)
    return len(books)


if __name__ == '__main__':
    out = Path(sys.argv[1])
    print(f'{build(out)} pages; open {out}/index.html')
