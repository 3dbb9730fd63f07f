"""Does to its process what models should not do. The input names the deed."""

import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


def hang_in_python():
    while True:
        time.sleep(0.01)


def hang_in_c():
    # Backtracks for ages in one C function, without ever letting go of the interpreter's lock.
    re.match(r"(a+)+$", "a" * 60 + "b")


def close_output():
    sys.stdout.close()
    sys.stderr.close()
    return "closed"


def say():
    print("the model says so")
    print("the model complains", file=sys.stderr)
    subprocess.run([sys.executable, "-c", "print('the child says so')"], check=True)
    return "said"


DEEDS = {
    "exit": lambda: sys.exit(0),
    "os_exit": lambda: (print("last words"), os._exit(42)),
    "interrupt": lambda: os.kill(os.getpid(), 2),
    "hang_in_python": hang_in_python,
    "hang_in_c": hang_in_c,
    "close_output": close_output,
    "say": say,
    "huge": lambda: "x" * (20 * 1024 * 1024),
    "enormous": lambda: "x" * (257 * 1024 * 1024),
    "nap": lambda: time.sleep(0.5) or "slept",
    "pid": os.getpid,
    "cwd": os.getcwd,
    "random": np.random.random,
    "environment": lambda: {name: value for name, value in os.environ.items() if name.startswith("MODEL_")},
    "path": lambda: sys.path,
    "modules": lambda: sorted(sys.modules),
    "process": lambda: {"parent": os.getppid(), "session": os.getsid(0)},
    "descriptors": lambda: sorted(os.readlink(f"/proc/self/fd/{name}") for name in descriptors()),
    "leave_a_thread": lambda: threading.Thread(target=time.sleep, args=(600,)).start(),
}


def descriptors():
    return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


class Misbehaves(PythonModel):
    def predict(self, context, model_input, params=None):
        return DEEDS[str(model_input)]()


set_model(Misbehaves())
