"""What can go wrong while making a picture.

GenerationError
  x ModelUnavailable         the weights cannot be had
    + LicenceRequired        gated repository: no token, or terms not accepted
    + RevisionNotFound       the repository or its revision does not exist
    + DownloadFailed         no network, or the Hub does not answer
    + NotEnoughDisk          the files do not fit on the disk
    + BrokenWeights          the files are there but cannot be loaded
  x OutOfMemory              the accelerator's or the host's memory is full
  x SourceImageUnreadable    the picture to animate cannot be decoded
  x GenerationFailed         the pipeline raised
ProcessDied                  nobody's fault: the process that ran the family is gone; the job may run again
"""

from __future__ import annotations

from typing import ClassVar


class GenerationError(Exception):
    """The model could not make this picture."""

    code: ClassVar[str] = "generation_error"

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or self.__doc__ or "")
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders pickled; keyword-only arguments would be lost.
        return (_rebuild, (type(self), str(self), self.hint))


def _rebuild(kind: type[GenerationError], message: str, hint: str | None) -> GenerationError:
    return kind(message, hint=hint)


class ModelUnavailable(GenerationError):
    """The model's weights are not available."""

    code = "model_unavailable"


class LicenceRequired(ModelUnavailable):
    """The model is gated: accept its licence and set HF_TOKEN."""

    code = "licence_required"


class RevisionNotFound(ModelUnavailable):
    """The model's repository or revision does not exist."""

    code = "revision_not_found"


class DownloadFailed(ModelUnavailable):
    """The model's files could not be downloaded."""

    code = "download_failed"


class NotEnoughDisk(ModelUnavailable):
    """The model's files do not fit on the disk."""

    code = "not_enough_disk"


class BrokenWeights(ModelUnavailable):
    """The model's files cannot be loaded."""

    code = "broken_weights"


class OutOfMemory(GenerationError):
    """The memory is too small for this request."""

    code = "out_of_memory"


class SourceImageUnreadable(GenerationError):
    """The source picture cannot be decoded."""

    code = "source_image_unreadable"


class GenerationFailed(GenerationError):
    """The pipeline failed."""

    code = "generation_failed"


class ProcessDied(Exception):
    """The process that ran the family is gone; the text says how it ended."""
