"""Runs a program for as long as the process that started this one lives.

    python _keeper.py FOLDER PROGRAM ARG...

Whoever starts it holds the other end of its stdin. When a byte comes there, or
the end because that process was killed, the program is told to end, and killed
if it does not; after the end, nobody else being left, FOLDER is removed. The
exit code is the program's, 128 plus the signal if one ended it.
"""

import os
import shutil
import subprocess
import sys
import threading
from typing import List

PATIENCE = 30.0  # seconds that the program has to lift and drain


def main(folder: str, command: List[str]) -> int:
    """Run command and return its exit code."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as e:
        sys.stderr.write(f"{command[0]} cannot be started: {e.strerror}\n")
        return 127
    orphaned = threading.Event()

    def watch() -> None:
        # Below Python's own stdin: a thread that is blocked in it would hold its
        # lock when the interpreter ends.
        if not os.read(0, 1):
            orphaned.set()
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
