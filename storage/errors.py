"""What can go wrong while remembering.

StorageError
  x DatabaseUnavailable      the database cannot be reached, or stays locked
  x DatabaseDamaged          the database's file is no longer whole
  x DatabaseUrlUnusable      the address names a database that cannot be used
  x SchemaTooNew             the database was made by a newer version
  x DiskFull                 no room for a row or a file
  x QueueFull                too many jobs are waiting
    + ClientQueueFull        too many jobs of this client are waiting
  x QuotaUsedUp              the client may ask for no more outputs today
  x IdempotencyConflict      an idempotency key came back with another request
  x KeyOfDeletedJob          an idempotency key came back, but its job has been deleted
  x InvalidCursor            a page cursor that this server did not issue
  x TooManyTags              a picture or clip would have more than it may
  x UnsafePath               a path that leaves the media folder
  x MediaFileMissing         a row's file is gone
  x MediaUnreadable          a file's bytes are no picture or clip
  x UploadRejected           an upload is not a picture that can be used
    + UploadTooLarge         it has too many bytes or pixels
"""

from __future__ import annotations


class StorageError(Exception):
    """Something could not be stored or found again."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__ or "")


class DatabaseUnavailable(StorageError):
    """The database does not answer. Try again in a moment."""


class DatabaseDamaged(StorageError):
    """The database's file is damaged. The next start of the server sets it aside."""


class DatabaseUrlUnusable(StorageError):
    """This database address cannot be used."""


class SchemaTooNew(StorageError):
    """A newer version of CyberImage has written this database. Update, or use another database."""


class DiskFull(StorageError):
    """The disk is full. Free some space and try again."""


class QueueFull(StorageError):
    """The queue is full. Try again when some jobs have finished."""


class ClientQueueFull(QueueFull):
    """As many of your jobs are waiting as one client may have. Try again when some have finished."""


class QuotaUsedUp(StorageError):
    """Today's outputs are used up. Try again tomorrow."""

    def __init__(self, message: str | None = None, *, retry_after_s: int = 3600) -> None:
        super().__init__(message)
        #: Until the next day begins.
        self.retry_after_s = retry_after_s


class IdempotencyConflict(StorageError):
    """This idempotency key was used before with a different request."""


class KeyOfDeletedJob(StorageError):
    """The job of this idempotency key has been deleted. Use another key for a new job."""


class InvalidCursor(StorageError):
    """The cursor is not valid. Use the next_cursor of an earlier page unchanged, or leave it out."""


class TooManyTags(StorageError):
    """A picture or clip takes 32 tags at most. Remove some of its tags first."""


class UnsafePath(StorageError):
    """The path is not inside the media folder."""


class MediaFileMissing(StorageError):
    """The media file is no longer on the disk."""


class MediaUnreadable(StorageError):
    """The media file cannot be decoded."""


class UploadRejected(StorageError):
    """The upload is not a picture that can be read. Send a PNG, JPEG or WebP file."""


class UploadTooLarge(UploadRejected):
    """The upload is too large."""
