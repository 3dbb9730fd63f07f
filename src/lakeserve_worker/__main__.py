"""Start of the worker program: ``python -s …/lakeserve_worker/__main__.py zygote|worker …``.

It is started by path, with the interpreter of a model's environment. Python then puts this folder first on ``sys.path``,
where our ``protocol`` or ``process`` would hide a model's module of that name; and the folder's parent is the server's
``site-packages``, which must not leak into the model's environment either. So the folder is taken off the path, and the
package is made from its location, without any entry on the path.
"""

import importlib
import importlib.util
import os
import sys
import types

PACKAGE = "lakeserve_worker"


def main() -> None:
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != here]
    _make_package(here)
    importlib.import_module(PACKAGE + ".command").main(sys.argv[1:])


def _make_package(here: str) -> None:
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    if spec is None or spec.loader is None:
        raise ImportError("cannot load " + here)
    package: types.ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    main()
