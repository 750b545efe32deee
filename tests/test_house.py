"The house: imports run down only, public names are explained, and the words are the field's."
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastcore.docments import docments
from fastcore.script import Param

root = Path(__file__).parent.parent
modules = sorted('.'.join(p.relative_to(root).with_suffix('').parts) for p in (root/'flmk').rglob('*.py') if p.name[0] != '_' and p.name != 'operators.py')
texts = [p for folder in ('nbs', 'flmk', 'web', 'tests', 'data') for p in (root/folder).rglob('*') if p.suffix in ('.ipynb', '.py', '.js', '.html', '.md')
         and not {'node_modules', 'dist', '.ipynb_checkpoints', '_proc'} & set(p.parts) and (folder != 'data' or p.parent == root/'data')]
texts += [root/o for o in ('README.md', 'RESULTS.md', 'CONTRIBUTING.md', 'Makefile', 'settings.ini') if (root/o).exists()]


def test_imports_run_down():
    "The contracts in .importlinter: floors, no circles, no PyTorch where only predicting is done; imports inside functions count."
    done = subprocess.run([Path(sys.executable).with_name('lint-imports')], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_import_is_unused():
    "Pyflakes finds none; stars are fastai's way, and `flmk/__init__.py` imports the operators for what they do."
    done = subprocess.run([sys.executable, '-m', 'pyflakes', 'flmk', 'tests', 'web/describe.py'], cwd=root, capture_output=True, text=True)
    assert [l for l in done.stdout.splitlines() if 'imported but unused' in l and '_operators' not in l and ".*'" not in l] == []


def unexplained(func):
    "Names of the parameters that have no comment, not even one that they share with their neighbours on a line."
    notes, (lines, _) = docments(func, returns=False), inspect.getsourcelines(func)
    shared = {w for line in lines if '#' in line for w in re.findall(r'\w+', line.split('#')[0])}
    return [k for k, p in inspect.signature(func).parameters.items() if k != 'self' and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            and not notes.get(k) and not isinstance(p.annotation, Param) and k not in shared]


def faults(name):
    "What a module's public functions and classes leave unexplained."
    module = importlib.import_module(name)
    for public in getattr(module, '__all__', []):
        o = inspect.unwrap(getattr(module, public))
        if not callable(o) or getattr(o, '__module__', None) != name or isinstance(o, type) and issubclass(o, tuple): continue
        if not (o.__doc__ or '').strip() or o.__doc__.startswith(f'{public}('): yield f'{name}.{public}: no docstring'
        if inspect.isfunction(o): missing = unexplained(o)
        elif hasattr(o, '__dataclass_fields__'): missing = [k for k in unexplained(o) if k in vars(o).get('__annotations__', {})]    # a base's fields are explained there
        elif '__init__' in vars(o): missing = unexplained(o.__init__)
        else: missing = []
        if missing: yield f'{name}.{public}: no comment on {", ".join(missing)}'


@pytest.mark.parametrize('name', modules)
def test_public_names_are_explained(name): assert list(faults(name)) == []


# Words that were used before the field's: see the glossary in nbs/index.ipynb.
WORDS = dict(doubt=r'(?<!in )\bdoubt', look_twice=r'\blook_twice\b|\blook twice\b', sharpen=r'\bsharpen\(', trembling=r'\btrembl', film=r'\bfilms?\b', feeding=r'\b(?:feeding|to be fed)\b',
             strangers=r"\bstrangers?\b", knows_where=r'head that knows where', by_heart=r'\bby heart\b', looks_and_things=r'\b(?:20_things|19_looks|flmk\.(?:looks|things|scene|faces|landmarks|files|deploy|photos|importing|sketch)\b)',
             folded=r'worked into the conv', average_face=r'average face as a start|\bmean face as a start')


def sources(path):
    "The lines that people wrote: of a notebook its cells, not its outputs."
    text = path.read_text(encoding='utf-8')
    if path.suffix != '.ipynb': return text.splitlines()
    return [line for cell in json.loads(text)['cells'] for line in ''.join(cell['source']).splitlines()]


@pytest.mark.parametrize('path', [p.relative_to(root).as_posix() for p in texts if p.name != 'test_house.py'])
def test_words(path):
    found = [f'{word}: {line.strip()[:120]}' for line in sources(root/path) for word, pattern in WORDS.items() if re.search(pattern, line, re.I)]
    assert found == []


@pytest.mark.parametrize('path', [p.relative_to(root).as_posix() for o in ('nbs/0*.ipynb', 'nbs/10_augment.ipynb', 'nbs/solutions/*.ipynb', 'nbs/index.ipynb') for p in sorted(root.glob(o))])
def test_lines_of_chapters_fit(path):
    "A JupyterLab in a window of 1300 pixels shows some 140 characters; we keep to 120, so that a chapter is read without scrolling sideways."
    cells = [c for c in json.loads((root/path).read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    assert [line for c in cells for line in ''.join(c['source']).splitlines() if len(line) > 120] == []
