"""ComfyUI on a tether: it ends with the process that started it, however that one ends.

`python tethered.py FOLDER main.py ...`: the starter holds the other end of standard input. When that closes, even because the
starter was killed, FOLDER is removed ("" is none) and this process is gone. Standard library only.
"""

import os
import runpy
import shutil
import sys
import threading


def _watch(folder: str) -> None:
    while os.read(0, 4096):  # nothing is ever sent; an empty answer is the end of the starter
        pass
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    _, folder, program, *_ = sys.argv
    threading.Thread(target=_watch, args=(folder,), daemon=True).start()
    sys.argv = sys.argv[2:]
    sys.path[0] = os.path.dirname(os.path.abspath(program))
    runpy.run_path(program, run_name="__main__")
