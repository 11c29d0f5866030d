"""What every media index and every store of webhooks promises, on PostgreSQL."""

from test_media_index import *  # noqa: F403
from test_retention import *  # noqa: F403
from test_webhook_store import *  # noqa: F403
