"What PyTorch's threads do while they wait: decided in one place, before torch is loaded, for every command, notebook and test."
import os, subprocess, sys

import pytest


def openmp_says(**env):
    "What OpenMP read when torch was loaded behind flmk."
    env = {k: v for k, v in os.environ.items() if k not in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')} | dict(OMP_DISPLAY_ENV='VERBOSE') | env
    done = subprocess.run([sys.executable, '-c', 'import flmk, torch'], env=env, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason="other systems' OpenMP says it in other words")
def test_waiting_threads_soon_sleep():
    assert "GOMP_SPINCOUNT = '10000'" in openmp_says()
    for choice in dict(OMP_WAIT_POLICY='ACTIVE'), dict(GOMP_SPINCOUNT='77'):              # a choice of the user's stays
        assert "GOMP_SPINCOUNT = '10000'" not in openmp_says(**choice)
