"""The API of AUTOMATIC1111's web UI, for programs that were written for it."""
