import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from deployments.demo.training.places import Places  # noqa: E402

GRID = (1, 2, 3)


@pytest.fixture
def blocks() -> nn.ModuleList:
    """They leave what they are given."""
    return nn.ModuleList([nn.Identity(), nn.Identity()])


@pytest.fixture
def places(blocks: nn.ModuleList) -> Places:
    """Takes frame, row and column for what `codes` says."""
    places = Places(blocks, sum(GRID), GRID)
    nn.init.zeros_(places.tell_embedding.bias)
    nn.init.eye_(places.tell_embedding.weight)
    return places


def codes(clips: int) -> Tensor:
    """For each token a 20 at its frame, its row and its column, [clips, 6, 6]."""
    places = [[0, 1 + row, 3 + column] for row in range(2) for column in range(3)]
    tokens = torch.zeros(6, sum(GRID))
    for token, marked in zip(tokens, places, strict=True):
        token[marked] = 20.0
    return tokens.repeat(clips, 1, 1)


def test_tokens_whose_places_are_known_cost_nothing(blocks: nn.ModuleList, places: Places) -> None:
    blocks[1](codes(2))
    assert places.loss(torch.tensor([True, True])) < 1e-6


def test_tokens_that_are_taken_for_others_cost_much(blocks: nn.ModuleList, places: Places) -> None:
    blocks[1](codes(2).flip(1))
    assert places.loss(torch.tensor([True, True])) > 20


def test_clips_that_are_not_asked_do_not_count(blocks: nn.ModuleList, places: Places) -> None:
    left = codes(2)
    left[1] = left[1].flip(0)
    blocks[1](left)
    assert places.loss(torch.tensor([True, False])) < 1e-6


def test_nobody_asked_costs_nothing(blocks: nn.ModuleList, places: Places) -> None:
    blocks[1](codes(2))
    assert places.loss(torch.tensor([False, False])) == 0


def test_the_latest_run_is_asked(blocks: nn.ModuleList, places: Places) -> None:
    for left in (codes(1).flip(1), codes(1)):
        blocks[1](left)
    assert places.loss(torch.tensor([True])) < 1e-6
