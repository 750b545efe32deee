"What PyTorch's threads do while they wait: decided in one place, before torch is loaded, for every command, notebook and test."
import os, subprocess, sys

import pytest


def openmp_says(**env):
    "What OpenMP read when torch was loaded behind flmk."
    env = {k: v for k, v in os.environ.items() if k != 'OMP_WAIT_POLICY'} | dict(OMP_DISPLAY_ENV='TRUE') | env
    done = subprocess.run([sys.executable, '-c', 'import flmk, torch'], env=env, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason="other systems' OpenMP says it in other words")
def test_waiting_threads_sleep():
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in openmp_says()
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in openmp_says(OMP_WAIT_POLICY='ACTIVE')          # a choice of the user's stays
