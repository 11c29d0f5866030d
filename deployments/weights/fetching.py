"""Make a model complete on this machine, or say what of it is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from configs.models import ModelSpec
from deployments.errors import BrokenWeights, ModelUnavailable
from deployments.weights import hub, refusals
from deployments.weights.cache import Folder, HubFile, Snapshot, cached_snapshot, known_files
from deployments.weights.parts import HubPlace, Part, parts_of
from deployments.weights.places import DownloadSettings, LocalModel, WeightsStatus
from deployments.weights.selection import index_names, needed_names
from deployments.weights.transfer import Transfer

Progress = Callable[[str, float | None], None]
FreeBytes = Callable[[Path], int]

_REPORT_EVERY_S = 0.5
_FILES_AT_ONCE = 4
#: How long a listing is waited for that is not needed where another tool has downloaded the whole model.
_LISTING_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The needed files of one repository."""

    place: HubPlace
    snapshot: Snapshot
    files: tuple[HubFile, ...]

    @property
    def missing(self) -> tuple[HubFile, ...]:
        return tuple(file for file in self.files if not self.snapshot.has(file))

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def present_bytes(self) -> int:
        return sum(self.snapshot.bytes_present(file) for file in self.files)


def free_bytes(folder: Path) -> int:
    """Free space of the disk that `folder` is on, or would be on."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def fetch(
    spec: ModelSpec, *, settings: DownloadSettings, progress: Progress, free_bytes: FreeBytes = free_bytes
) -> LocalModel:
    """The local files of a model. Downloads what is missing; asks the Hub for nothing if nothing is.

    Of what other tools have downloaded the Hub is asked once, for they may have left files out.

    Downloads can be interrupted at any time and go on from there the next time. Several processes may fetch
    the same model at once; each file is then downloaded by one of them.

    Args:
        progress: called in this thread, about twice a second during a download, with a sentence and
            the fraction that is done, None while it is not known. What it raises ends the download.
        free_bytes: the free space of the disk of a folder.

    Raises:
        ModelUnavailable: or one of its kinds, with a sentence that says what to do.
    """
    model = _complete_model(spec, settings)
    if model is not None:
        return model
    _refuse_without_network(spec, settings)
    progress(f"Looking up {spec.name}", None)
    parts = parts_of(spec, settings.registry_dir)
    with Transfer(settings) as transfer:
        plans = _plans(spec, parts, settings, transfer)
        _check_disk(spec, plans.values(), settings, free_bytes)
        _download(spec, plans.values(), settings, transfer, progress)
    # Not looked up again: by now another process may have found a newer commit.
    roots = [_local_root(p, spec) if p not in plans else plans[p].snapshot.folder.root for p in parts]
    return _model(parts, roots)


def required_bytes(spec: ModelSpec, settings: DownloadSettings) -> int:
    """What `fetch` would download now. Asks the Hub, unless the model is complete.

    Raises:
        ModelUnavailable: or one of its kinds.
    """
    if _complete_model(spec, settings) is not None:
        return 0
    if settings.is_offline:
        raise refusals.offline(spec)
    with Transfer(settings) as transfer:
        plans = _plans(spec, parts_of(spec, settings.registry_dir), settings, transfer)
    return sum(plan.total_bytes - plan.present_bytes for plan in plans.values())


def status(spec: ModelSpec, settings: DownloadSettings) -> WeightsStatus:
    """What of a model is on this machine. Never asks the Hub and never raises."""
    parts = parts_of(spec, settings.registry_dir)
    states = [_state(part, settings) for part in parts]
    return WeightsStatus(
        present=all(s.present for s in states),
        bytes_present=sum(s.bytes_present for s in states),
        path=states[0].path,
        certain=all(s.certain for s in states),
    )


def local_files(spec: ModelSpec, settings: DownloadSettings) -> tuple[Path, ...]:
    """The files that loading the model reads; none unless all of them are on this machine."""
    files: list[Path] = []
    try:
        for part in parts_of(spec, settings.registry_dir):
            folder = _folder(part, settings)
            if folder is None:
                return ()
            names = needed_names(part, folder.names(), folder.read_json)
            files += (folder.root / name for name in sorted(names))
    except ModelUnavailable:
        return ()
    return tuple(files)


def _folder(part: Part, settings: DownloadSettings) -> Folder | None:
    if isinstance(part.place, Path):
        return Folder(root=part.place)
    plan = _complete_plan(part, settings)
    return plan.snapshot.folder if plan is not None else None


def _complete_model(spec: ModelSpec, settings: DownloadSettings) -> LocalModel | None:
    """None where a download is needed. Raises where a local folder is not what it should be."""
    parts = parts_of(spec, settings.registry_dir)
    roots = []
    for part in parts:
        if isinstance(part.place, HubPlace) and spec.download_enabled and not settings.is_offline:
            _learn_listing(spec, part, settings)
        root = _local_root(part, spec) if isinstance(part.place, Path) else _cached_root(part, settings)
        if root is None:
            return None
        roots.append(root)
    return _model(parts, roots)


def _learn_listing(spec: ModelSpec, part: Part, settings: DownloadSettings) -> None:
    """Ask for the listing of a snapshot of another tool, which may have left files out unnoticed.

    It is the listing of the commit that is here: a newer one would be a download of its own. Where none
    comes, the folder has to do.
    """
    plan = _complete_plan(part, settings)
    if plan is None or plan.snapshot.listing() is not None:
        return
    here = replace(plan.place, revision=plan.snapshot.commit)
    with suppress(ModelUnavailable), refusals.told_plainly(spec, here, settings):
        hub.look_up(
            here, replace(settings, attempts=1, timeout_s=min(_LISTING_TIMEOUT_S, settings.timeout_s))
        )


def _model(parts: Sequence[Part], roots: Sequence[Path]) -> LocalModel:
    folder, *transformer = (part.location(root) for part, root in zip(parts, roots, strict=True))
    return LocalModel(folder=folder, transformer=transformer[0] if transformer else None)


def _local_root(part: Part, spec: ModelSpec) -> Path:
    assert isinstance(part.place, Path)
    if not part.place.is_dir():
        raise ModelUnavailable(f"The folder {part.place} of {spec.name} does not exist.")
    folder = Folder(root=part.place)
    try:
        needed_names(part, folder.names(), folder.read_json)
    except BrokenWeights as error:
        raise BrokenWeights(f"{spec.name} cannot be loaded from {part.place}: {error}") from error
    return part.place


def _cached_root(part: Part, settings: DownloadSettings) -> Path | None:
    plan = _complete_plan(part, settings)
    return plan.snapshot.folder.root if plan is not None else None


def _complete_plan(part: Part, settings: DownloadSettings) -> _Plan | None:
    """Of a part that the cache has whole. Its revision stays at the commit that was downloaded."""
    assert isinstance(part.place, HubPlace)
    snapshot = cached_snapshot(settings.cache, part.place)
    if snapshot is None:
        return None
    try:
        plan = _plan(part, part.place, snapshot)
    except BrokenWeights:  # Perhaps only not downloaded yet.
        return None
    return None if plan.missing else plan


def _plan(part: Part, place: HubPlace, snapshot: Snapshot) -> _Plan:
    """Raises BrokenWeights where files are lacking that `needed_names` must read."""
    files = known_files(snapshot)
    names = needed_names(part, files.keys(), snapshot.folder.read_json)
    return _Plan(place=place, snapshot=snapshot, files=tuple(files[name] for name in names))


def _plans(
    spec: ModelSpec, parts: Iterable[Part], settings: DownloadSettings, transfer: Transfer
) -> dict[Part, _Plan]:
    """What is needed of each repository. Downloads the index files, to know."""
    plans = {}
    for part in parts:
        if isinstance(part.place, HubPlace):
            with refusals.told_plainly(spec, part.place, settings):
                plan = _complete_plan(part, settings)
                plans[part] = plan or _looked_up_plan(part, part.place, settings, transfer)
    return plans


def _looked_up_plan(part: Part, place: HubPlace, settings: DownloadSettings, transfer: Transfer) -> _Plan:
    snapshot, files = hub.look_up(place, settings)
    for name in index_names(part, files.keys()):
        transfer.get(snapshot, files[name])
    return _plan(part, place, snapshot)


def _refuse_without_network(spec: ModelSpec, settings: DownloadSettings) -> None:
    if settings.is_offline:
        raise refusals.offline(spec)
    if not spec.download_enabled:
        raise refusals.download_disabled(spec)


def _check_disk(
    spec: ModelSpec, plans: Collection[_Plan], settings: DownloadSettings, free_bytes: FreeBytes
) -> None:
    needed = sum(plan.total_bytes - plan.present_bytes for plan in plans) + settings.reserve_bytes
    free = free_bytes(settings.cache)
    if needed > free:
        raise refusals.not_enough_disk(spec, needed, free, settings)


def _download(
    spec: ModelSpec,
    plans: Collection[_Plan],
    settings: DownloadSettings,
    transfer: Transfer,
    progress: Progress,
) -> None:
    with ThreadPoolExecutor(max_workers=_FILES_AT_ONCE, thread_name_prefix="download") as pool:
        places: dict[Future[None], HubPlace] = {}
        try:
            for plan in plans:
                for file in sorted(plan.missing, key=lambda f: f.size):
                    places[pool.submit(transfer.get, plan.snapshot, file)] = plan.place
            pending = set(places)
            while pending:
                _report(spec, plans, progress)
                done, pending = wait(pending, timeout=_REPORT_EVERY_S, return_when=FIRST_EXCEPTION)
                for future in done:
                    with refusals.told_plainly(spec, places[future], settings):
                        future.result()
            _report(spec, plans, progress)
        finally:
            transfer.stop()
            pool.shutdown(wait=False, cancel_futures=True)


def _report(spec: ModelSpec, plans: Collection[_Plan], progress: Progress) -> None:
    total = sum(plan.total_bytes for plan in plans)
    present = sum(plan.present_bytes for plan in plans)
    unit, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    progress(
        f"Downloading {spec.name}: {present / unit:.1f} of {total / unit:.1f} {name}", present / max(total, 1)
    )


def _state(part: Part, settings: DownloadSettings) -> WeightsStatus:
    if isinstance(part.place, Path):
        return _folder_state(part, part.place)
    snapshot = cached_snapshot(settings.cache, part.place)
    if snapshot is None:
        return WeightsStatus(present=False, bytes_present=0, path=settings.cache)
    path = part.location(snapshot.folder.root)
    try:
        plan = _plan(part, part.place, snapshot)
    except BrokenWeights:
        return WeightsStatus(present=False, bytes_present=0, path=path)
    return WeightsStatus(
        present=not plan.missing,
        bytes_present=plan.present_bytes,
        path=path,
        certain=snapshot.listing() is not None,
    )


def _folder_state(part: Part, root: Path) -> WeightsStatus:
    folder = Folder(root=root)
    try:
        names = needed_names(part, folder.names(), folder.read_json)
    except BrokenWeights:
        return WeightsStatus(present=False, bytes_present=0, path=part.location(root))
    size = sum(folder.size(name) or 0 for name in names)
    return WeightsStatus(present=True, bytes_present=size, path=part.location(root))
