import pickle

import pytest

from deployments import errors


def kinds(root: type[errors.GenerationError]) -> list[type[errors.GenerationError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]


ALL = kinds(errors.GenerationError)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_survives_the_way_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("no room", hint="make room")))
    assert (type(error), str(error), error.hint) == (kind, "no room", "make room")


def test_codes_are_unique():
    assert len({kind.code for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_without_words_says_what_it_is(kind):
    assert str(kind()) == kind.__doc__
