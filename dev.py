#!/usr/bin/env python3
"""Set up and run taxoscape from a fresh clone: ``python3 dev.py demo | test | install``.

Needs Python 3.11 or newer and its pip, nothing else: no make, no ``venv`` package, and an externally
managed Python is left as it is. Everything is installed into ``.venv`` beside this file, with the versions
pinned in ``constraints.txt``. Words after the command are passed on: ``python3 dev.py test -k grid``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
INPUTS = ("pyproject.toml", "constraints.txt", "dev.py")
TORCH = "2.13.0"  # as in constraints.txt


def say(message: str) -> None:
    print(f"dev.py: {message}", flush=True)


def pip(*arguments: str, quiet: bool = False) -> int:
    """Run this Python's pip on the environment in ``.venv`` and return its exit code."""
    command = [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check", *arguments]
    stream = subprocess.DEVNULL if quiet else None
    return subprocess.call(command, stdout=stream, stderr=stream)


def digest() -> str:
    """Fingerprint of all that decides what is installed, so that a change reinstalls."""
    sha = hashlib.sha256(sys.version.encode() + str(ROOT).encode())
    for name in INPUTS:
        sha.update((ROOT / name).read_bytes())
    return sha.hexdigest()


def install_torch() -> None:
    """Install PyTorch: a CPU build where there is no GPU and the package index offers one."""
    if shutil.which("nvidia-smi") is None:
        say("no GPU here: asking the package index for a CPU build of PyTorch")
        if pip("install", "-q", f"torch=={TORCH}+cpu", "-c", "constraints.txt", quiet=True) == 0:
            return
        say("it offers none: installing the general build, which is large")
    if pip("install", "-q", f"torch=={TORCH}", "-c", "constraints.txt"):
        raise SystemExit("dev.py: PyTorch could not be installed; the lines above say why")


def install() -> None:
    """Make ``.venv`` and install taxoscape with its development tools, unless that is done already."""
    marker = VENV / "installed"
    if marker.exists() and marker.read_text() == digest():
        return
    if sys.version_info < (3, 11):
        raise SystemExit(f"dev.py: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if importlib.util.find_spec("pip") is None:
        raise SystemExit("dev.py: this Python has no pip; install it (on Debian: apt-get install python3-pip)")
    os.chdir(ROOT)
    if not PYTHON.exists():
        say(f"making {VENV}")
        subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", "--clear", str(VENV)])
    say("installing (some minutes the first time)")
    if subprocess.call(
        [str(PYTHON), "-c", f"import torch, sys; sys.exit(torch.__version__[:{len(TORCH)}] != '{TORCH}')"],
        stderr=subprocess.DEVNULL,
    ):
        install_torch()
    if pip("install", "-q", "-c", "constraints.txt", "-e", ".[dev]"):
        raise SystemExit("dev.py: the installation failed; the lines above say why")
    marker.write_text(digest())


def run(*command: str) -> int:
    environment = {**os.environ, "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.call([str(PYTHON), *command], cwd=ROOT, env=environment)


def main(arguments: list[str]) -> int:
    commands = {"install": (), "demo": ("-m", "taxoscape", "demo"), "test": ("-m", "pytest")}
    if not arguments or arguments[0] not in commands:
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    install()
    command = commands[arguments[0]]
    return run(*command, *arguments[1:]) if command else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
