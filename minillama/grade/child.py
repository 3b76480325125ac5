"""Runs a notebook, then its functions on the cases of their exercises, in a process of its own: `process.py` runs this
file, nothing imports it.

Whatever a cell does to this process, judged is elsewhere: only outcomes leave it. stdin: a line of JSON, {"path",
"cells": {number: source}, "tasks": [[exercise, function, module]], "memory"}. stdout: a line of JSON for each
thing that happens, {"cell": number}, {"failed": text}, {"exercise": name}, {"outcome": text}, {"instead": text},
{"missing": true}, {"end": true}; what the notebook prints goes nowhere.
"""

import contextlib
import importlib
import json
import os
import sys

FILE = 2**30  # bytes of a file that is written


def main() -> None:
    request = json.loads(sys.stdin.buffer.readline())
    own, channel = os.getpid(), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    sys.path[:] = [*request["path"], ""]  # its own folder last: no file in it stands in for a module of the course
    limit(request["memory"])

    def tell(**said) -> None:
        if os.getpid() != own:  # a cell has forked
            os._exit(1)
        channel.write(json.dumps(said) + "\n")
        channel.flush()

    from IPython.core.interactiveshell import InteractiveShell

    from minillama.check.compare import name_of
    from minillama.check.limits import pinned
    from minillama.check.wire import packed

    modules = {module: importlib.import_module(module) for _, _, module in request["tasks"]}
    os.dup2(nothing, 2)  # an import that fails has been said
    as_imported = remember()
    shell = InteractiveShell.instance()
    shell.user_ns.pop("exit", None), shell.user_ns.pop("quit", None)
    for number, source in request["cells"].items():
        tell(cell=number)
        try:
            result = shell.run_cell(source, store_history=True)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as raised:
            error = raised
        if error is not None:
            with contextlib.suppress(Exception):  # its __str__ is the notebook's
                tell(failed=f"{type(error).__name__}: {error}"[:500])
    restore(as_imported)
    for exercise, name, module in request["tasks"]:
        tell(exercise=exercise)
        solution = f"solution_{name.removeprefix('my_')}"
        shell.user_ns.pop(solution, None)  # else it is enough to call it
        function = shell.user_ns.get(name, tell)
        if function is tell:
            tell(missing=True)
        elif not callable(function):
            tell(instead=type(function).__name__)
        elif (found := name_of(function)) == solution or found.startswith("right_"):
            tell(instead=found)
        else:
            with pinned():
                for outcome in getattr(modules[module], exercise).exercise.outcomes(function):
                    tell(outcome=packed(outcome))
    tell(end=True)
    channel.close()
    os._exit(0)  # whatever threads are left


def remember() -> list:
    """(module or class, its names and what they mean) of all that is imported of the course."""
    found = []
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] == "minillama":
            found.append((module, dict(vars(module))))
            if name.startswith("minillama.check"):
                own = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == name]
                found += [(each, dict(vars(each))) for each in own]
    return found


def restore(before: list) -> None:
    """What a cell has changed in them is as it was, so that it disturbs nobody; the judge would not believe it."""
    for owner, names in before:
        for name in {*vars(owner), *names}:
            with contextlib.suppress(AttributeError, TypeError):
                if name not in names:
                    delattr(owner, name)
                elif vars(owner).get(name, before) is not names[name]:
                    setattr(owner, name, names[name])


def limit(memory: int) -> None:
    """Bytes of memory, and of a file. Without the module (Windows) `process.py` alone watches the memory."""
    try:
        import resource
    except ImportError:
        return
    for name, most in (("DATA", memory), ("FSIZE", FILE), ("CORE", 0)):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not on this system
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


if __name__ == "__main__":
    main()
