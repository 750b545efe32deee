"Tests run side by side, the notebooks one by one and what shares fixtures together; the last line counts them, whatever else was printed."
import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem != 'test_notebooks': item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None: return
    count = lambda *names: sum(len(reporter.stats.get(n, [])) for n in names)
    print(f"\n{count('passed')} passed, {count('failed', 'error')} failed")
