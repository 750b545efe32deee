"The last line counts the tests, whatever else was printed."
import pytest


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None: return
    count = lambda *names: sum(len(reporter.stats.get(n, [])) for n in names)
    print(f"\n{count('passed')} passed, {count('failed', 'error')} failed")
