from __future__ import annotations

import inspect
import pickle
import re

import pytest

from storage import errors
from storage.errors import StorageError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: set[tuple[str, str]] = set()
    parent = ""
    for mark, name in re.findall(r"^ +([x+]) (\w+)", errors.__doc__ or "", re.MULTILINE):
        drawn.add((name, "StorageError" if mark == "x" else parent))
        parent = name if mark == "x" else parent
    assert drawn == {(kind.__name__, kind.__base__.__name__) for kind in KINDS if kind is not StorageError}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_its_docstring_says_unless_told_more(kind: type[StorageError]) -> None:
    assert str(kind()) == kind.__doc__
    assert str(kind("just so")) == "just so"
    assert str(pickle.loads(pickle.dumps(kind("just so")))) == "just so"
