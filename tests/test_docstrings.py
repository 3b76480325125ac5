"""The examples in the docstrings show what they say; every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import minillama

MODULES = sorted(m.name for m in pkgutil.walk_packages(minillama.__path__, "minillama.") if "__main__" not in m.name)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def public():
    """What `minillama` offers, and what a learner or an engineer meets beside it, with its public methods."""
    from minillama import check, loop, model, plots, widgets

    shown = {name: getattr(minillama, name) for name in minillama.__all__ if callable(getattr(minillama, name))}
    for module in (loop, model, plots):
        shown |= {
            n: o for n, o in vars(module).items() if getattr(o, "__module__", "") == module.__name__ and n[0] != "_"
        }
    for module in (check, widgets):
        shown |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    for name, each in list(shown.items()):
        if inspect.isclass(each) and each.__module__.startswith("minillama") and "widgets" not in each.__module__:
            methods = inspect.getmembers(each, inspect.isfunction)
            shown |= {f"{name}.{n}": m for n, m in methods if n[0] != "_" and m.__qualname__.startswith(each.__name__)}
    return {name: each for name, each in shown.items() if callable(each)}


@pytest.mark.parametrize(("name", "each"), public().items(), ids=public())
def test_public_names_have_docstrings(name, each):
    text = inspect.getdoc(each)
    written = text and not text.startswith(f"{getattr(each, '__name__', '')}(")  # dataclasses write a signature
    assert written, f"{name} has no docstring"
