import os
import sys

if not sys.flags.safe_path and os.path.dirname(os.path.dirname(os.path.abspath(__file__))) != sys.path[0]:  # noqa: PTH100, PTH120
    del sys.path[0]  # -m put the current folder there, and a select.py in it before Python's own

from .app import main

main()
