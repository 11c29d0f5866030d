"""The SQL store and its twin in memory do the same, whatever is asked of them in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from job_examples import NOON, WORKER_DIED, job, media
from sqlalchemy import delete

from storage import schema
from storage.errors import StorageError
from storage.jobs import Job, JobId, JobProgress, JobStatus, JobStore, Phase
from storage.stores import Stores, memory_stores

LEGAL = {
    (None, JobStatus.PENDING),
    (JobStatus.PENDING, JobStatus.PROCESSING),
    (JobStatus.PENDING, JobStatus.CANCELLED),
    (JobStatus.PROCESSING, JobStatus.PENDING),
    (JobStatus.PROCESSING, JobStatus.COMPLETED),
    (JobStatus.PROCESSING, JobStatus.FAILED),
    (JobStatus.PROCESSING, JobStatus.CANCELLED),
}
names = st.sampled_from([JobId(name) for name in "abcdef"])
owners = st.sampled_from(["me", "you"])
clients = st.sampled_from([None, "ann"])
"""
