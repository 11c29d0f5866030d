"""What is remembered: jobs, media files, and their metadata."""

from storage.errors import StorageError
from storage.jobs import Job, JobStatus, JobStore
from storage.media import Media, MediaIndex, MediaQuery
from storage.stores import Stores, memory_stores, open_stores

__all__ = [
    "Job",
    "JobStatus",
    "JobStore",
    "Media",
    "MediaIndex",
    "MediaQuery",
    "StorageError",
    "Stores",
    "memory_stores",
    "open_stores",
]
