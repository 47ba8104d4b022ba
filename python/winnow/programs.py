"""Running Winnow's programs."""

import os
import shutil
import subprocess
import sys
import tempfile


class Error(RuntimeError):
    """A program failed; the message is its own."""

    def __init__(self, message, status):
        super().__init__(message)
        #: The program's exit status.
        self.status = status


class UsageError(Error):
    """An argument is wrong."""


class BadInputError(Error):
    """A network, images or another file is wrong."""


class UnavailableError(Error):
    """A program, a port, memory or space on a disk is missing."""


_kinds = {64: UsageError, 65: BadInputError, 69: UnavailableError}


def options(arguments):
    """Keyword arguments as options: `remove_flops=0.5` is `--remove-flops 0.5`, True a flag, None and False nothing."""
    words = []
    for name, value in arguments.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, (list, tuple)):
            words.append(f"{option}={','.join(map(str, value))}")
        else:
            words.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    return words


def find(program):
    """The path of a program."""
    folder = os.environ.get("WINNOW_BINARIES")
    found = shutil.which(program, path=folder) if folder else shutil.which(program)
    if found is None:
        where = f"in $WINNOW_BINARIES, {folder}" if folder else "in the path; set WINNOW_BINARIES to its folder"
        raise UnavailableError(f"{program} is not {where}", 69)
    return found


def run(subcommand, arguments, program="winnow-coordinator"):
    """Runs a subcommand to its end, with progress on standard error. Returns its output. Raises an `Error`."""
    # A file rather than a pipe, which could fill while standard error is read.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            [find(program), subcommand, *options(arguments)], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.PIPE, text=True, errors="replace")
        last = ""
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                sys.stderr.flush()
                last = line.strip() or last
        finally:
            # Ctrl-C reaches the program too: it exits by itself and keeps its progress.
            status = process.wait()
            process.stderr.close()
        output.seek(0)
        printed = output.read()
    if status == 130:
        raise KeyboardInterrupt(last)
    if status != 0:
        raise _kinds.get(status, Error)(last.removeprefix(f"{program}: ") or f"{program} ended with {status}", status)
    return printed
