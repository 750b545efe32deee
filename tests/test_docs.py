"The web site of `make docs`: every notebook is a page, and no link between pages is broken."
import re
import sys
from pathlib import Path

root = Path(__file__).parent.parent
sys.path.insert(0, str(root/'web'))


def test_site(tmp_path):
    import docs
    assert docs.build(tmp_path) == len(list((root/'nbs').rglob('[!._]*.ipynb')))
    broken = []
    for page in tmp_path.rglob('*.html'):
        text = page.read_text(encoding='utf-8')
        assert '<nav class="flmk">' in text and 'NotImplementedError' not in re.sub(r'<pre>.*?</pre>', '', text, flags=re.S)
        for link in re.findall(r'href="(?![a-z]+:|#)([^"#]+)', text):
            if not (page.parent/link).exists(): broken.append(f'{page.relative_to(tmp_path)}: {link}')
    assert sorted(set(broken)) == []
