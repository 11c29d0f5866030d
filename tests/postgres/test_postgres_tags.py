"""What every media index promises about tags, on PostgreSQL; and that nobody's change is lost there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from job_examples import media
from test_media_tags import *  # noqa: F403

from storage.media import MediaId
from storage.stores import Stores, open_stores
from storage.tags import MOST_TAGS, Tag


def test_changes_by_two_processes_at_once_are_all_kept(postgres: str, stores: Stores) -> None:
    ids = [MediaId(str(number)) for number in range(5)]
    for media_id in ids:
        stores.media.add(media(media_id, job_id=None))
    names = [Tag(str(number)) for number in range(MOST_TAGS)]
    with open_stores(postgres % "promises") as others, ThreadPoolExecutor(8) as pool:

        def add(number: int) -> int:
            chosen = (stores, others)[number % 2]
            return chosen.media.change_tags(ids[:: 1 if number % 3 else -1], add=names[number : number + 2])

        assert list(pool.map(add, range(MOST_TAGS))) == [5] * MOST_TAGS
    for media_id in ids:
        found = stores.media.get(media_id)
        assert found is not None
        assert set(found.tags) == set(names)
