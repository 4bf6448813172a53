"""Every policy of the final selection on recorded curves: `python benchmarks/selection.py --json OUT` runs `replay.py`.

Python looks for imports in the folder of the script it runs first, and here that makes this file `selection` for every
benchmark beside it. So where it is imported, it gives way to the package of that name.
"""

import importlib
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent

# The package must come from anywhere but here; what is beside this file, from here.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _HERE]
sys.modules.pop("selection", None)
importlib.import_module("selection")
sys.path.insert(0, str(_HERE))

if __name__ == "__main__":
    importlib.import_module("replay").main()
