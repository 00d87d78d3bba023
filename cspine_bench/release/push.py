"""Publish a release on the Hugging Face Hub, so that nobody ever sees half of it.

The files go to a branch or a pull request of their own, and are verified there one by one. Then main moves to them in
one commit, which copies pointers and sends no shard again (or by merging the pull request), and is verified in turn.
The tag comes last. Each step looks first at what is there: a push that was killed goes on when it is run again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cspine_bench.errors import ReleaseError
from cspine_bench.release.layout import MIRROR_SUFFIX
from cspine_bench.release.push_hub import Hub, Patience, RepositoryState
from cspine_bench.release.push_plan import (
    Difference,
    LocalFile,
    Operation,
    Parcel,
    check_target,
    compare_files,
    iter_commits,
    load_parcel,
)
from cspine_bench.release.validate import validate_release
from cspine_bench.release.verdict import Verdict

if TYPE_CHECKING:
    from cspine_bench.release.policy import Policy
    from cspine_bench.release.rules import Level

OnProgress = Callable[[int, int], None]
_MOST_FAULTS: Final = 5
_NAME: Final = re.compile(r"(?=.{1,96}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
"""Source: validate_repo_id of huggingface_hub."""


@dataclass(frozen=True)
class Pushed:
    """What a push did to one repository, or would do.

    Attributes:
        repository: `owner/name`.
        url: page of the tag.
        tag: `v` and the version.
        commit: that the tag names; None in a dry run, unless the release is published already.
        private: whether only its owner sees the repository.
        load_line: how to use it.
        named: whether its card and other papers name this repository; otherwise they can say no more than PATH/TO/NAME.
        num_files: of the release.
        num_bytes: of the release.
        operations: in their order; empty: it was published already.
    """

    repository: str
    url: str
    tag: str
    commit: str | None
    private: bool
    load_line: str
    named: bool
    num_files: int
    num_bytes: int
    operations: tuple[Operation, ...]

    @property
    def num_bytes_sent(self) -> int:
        """Of the files that were not on the Hub."""
        return sum(operation.num_bytes for operation in self.operations)


@dataclass(frozen=True)
class _Job:
    """A parcel, what there is of its repository, and what has to be done. `tagged`: the tag is there, and right."""

    parcel: Parcel
    state: RepositoryState | None
    private: bool
    pull_request: bool
    on_main: Difference | None
    gathered: Difference
    operations: tuple[Operation, ...]
    tagged: bool = False

    @property
    def title(self) -> str:
        return f"Release {self.parcel.tag}"

    @property
    def on_hub_already(self) -> bool:
        """Main holds the release: of a push that was stopped before its end, or made by hand."""
        return self.on_main is not None and not self.on_main.faults


@dataclass(frozen=True)
class _Source:
    """Where verified files are: a commit, and the number of its pull request, if it is one's."""

    commit: str
    pull_request: int | None


def push_release(
    release: Path,
    repository: str,
    *,
    level: "Level" = "standard",
    private: bool | None = None,
    pull_request: bool = False,
    mirror: Path | None = None,
    mirror_repository: str | None = None,
    policy: "Policy | None" = None,
    trusted_key: Path | None = None,
    num_workers: int = 1,
    dry_run: bool = False,
    endpoint: str | None = None,
    patience: Patience | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Pushed, ...]:
    """Validate a release, upload it, verify every file on the Hub, move main to it, and tag it.

    Args:
        release: a folder that `release build` made.
        repository: `owner/name` of a dataset repository; it is created where there is none.
        level: of the validation that goes first.
        private: whether a new repository is private; None: it is. A repository of the other kind is refused.
        pull_request: gather the files in a pull request and merge it, instead of a branch.
        mirror: the WebDataset mirror of the release, to be pushed too.
        mirror_repository: where the mirror goes; None: `repository` with `-wds` behind it.
        policy: thresholds for the evidence, for the validation.
        trusted_key: public key that the release must be signed with, for the validation.
        num_workers: processes that validate.
        dry_run: read only; say what would be done.
        endpoint: address of the Hub; None: that of the standard configuration, as the token.
        patience: with a Hub that fails; None: the default.
        on_progress: called with (bytes that are on the Hub, bytes in all).

    Returns:
        What was done, or would be: one entry, or two with a mirror.

    Raises:
        ReleaseError: the release is not valid, its version is published with other files, the repository is none that
            it may go to, the Hub refuses, or holds other bytes than were sent. What is done by then is kept.
    """
    parcels = [load_parcel(release, _check_name(repository))]
    if mirror is not None:
        parcels.append(load_parcel(mirror, _check_name(mirror_repository or f"{repository}{MIRROR_SUFFIX}")))
        _check_pair(*parcels)
    verdict = validate_release(
        release,
        level=level,
        policy=policy,
        mirror=mirror,
        with_mirror=mirror is not None,
        trusted_key=trusted_key,
        num_workers=num_workers,
    )
    _check_verdict(release, verdict)
    hub = Hub(endpoint=endpoint, patience=patience or Patience())
    if not dry_run:
        hub.check_token()
    jobs = [_plan(hub, parcel, private, pull_request) for parcel in parcels]
    if dry_run:
        return tuple(_report(hub, job, _find_tagged(job)) for job in jobs)
    commits = _carry_out(hub, jobs, _Progress(jobs, on_progress))
    return tuple(_report(hub, job, commit) for job, commit in zip(jobs, commits, strict=True))


class _Progress:
    """Bytes that are on the Hub, each file counted once however often it is tried."""

    def __init__(self, jobs: list[_Job], on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._total = sum(job.parcel.num_bytes for job in jobs)
        missing = [(job.parcel.repository, file) for job in jobs for file in job.gathered.wanted]
        self._missing = {(repository, file.name): file.num_bytes for repository, file in missing}
        self._tell()

    def add(self, repository: str, file: LocalFile) -> None:
        if self._missing.pop((repository, file.name), None) is not None:
            self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._total - sum(self._missing.values()), self._total)


def _plan(hub: Hub, parcel: Parcel, private: bool | None, pull_request: bool) -> _Job:
    state = hub.find(parcel.repository)
    everything = compare_files(parcel.files, {})
    job = _Job(parcel, state, private is not False, pull_request, None, everything, ())
    if state is not None:
        if private is not None and private != state.private:
            raise ReleaseError(
                f"the dataset repository {parcel.repository} is {_say_visibility(state.private)}, and "
                f"{_say_visibility(private)} was asked for; change it on its page, or leave the option out"
            )
        job = replace(job, private=state.private)
        if parcel.tag in state.tags:
            _check_tagged(parcel, compare_files(parcel.files, hub.list_files(parcel.repository, parcel.tag)))
            nothing = Difference((), (), ())
            return _with_operations(replace(job, tagged=True, on_main=nothing, gathered=nothing))
        if "main" in state.branches:
            main = hub.list_files(parcel.repository, state.branches["main"])
            check_target(parcel, main, state.tags)
            on_main = compare_files(parcel.files, main)
            job = replace(job, on_main=on_main, gathered=on_main)
        if not job.on_hub_already and (source := _find_source(hub, job)) is not None:
            job = replace(job, gathered=compare_files(parcel.files, hub.list_files(parcel.repository, source)))
    return _with_operations(job)


def _find_source(hub: Hub, job: _Job) -> str | None:
    """Where an earlier push gathered its files."""
    parcel = job.parcel
    if job.pull_request:
        number = hub.find_pull_request(parcel.repository, job.title)
        return None if number is None else _name_pull_request(number)
    return parcel.branch if job.state is not None and parcel.branch in job.state.branches else None


def _with_operations(job: _Job) -> _Job:
    """The job with all that it will do, in this order."""
    parcel, steps = job.parcel, []
    branches = {} if job.state is None else job.state.branches
    if job.state is None:
        steps.append(Operation("create repository", parcel.repository, _say_visibility(job.private)))
    if not job.tagged and not job.on_hub_already:
        if job.pull_request:
            steps.append(Operation("open pull request", parcel.repository, job.title))
        elif parcel.branch not in branches:
            steps.append(Operation("create branch", parcel.repository, parcel.branch))
        steps += [Operation("upload", parcel.repository, file.name, file.num_bytes) for file in job.gathered.wanted]
        steps += [Operation("delete", parcel.repository, name) for name in job.gathered.unwanted]
        if job.pull_request:
            steps.append(Operation("merge", parcel.repository, job.title))
        else:
            steps.append(Operation("move main", parcel.repository, f"to {parcel.branch}, in one commit"))
    if not job.tagged:
        steps.append(Operation("tag", parcel.repository, parcel.tag))
    if parcel.branch in branches or (not job.pull_request and not job.tagged and not job.on_hub_already):
        steps.append(Operation("delete branch", parcel.repository, parcel.branch))
    return replace(job, operations=tuple(steps))


def _carry_out(hub: Hub, jobs: list[_Job], progress: _Progress) -> list[str]:
    """The commits that are tagged: all is verified before any main moves, every main is right before the first tag."""
    sources = [_gather(hub, job, progress) for job in jobs]
    commits = [_move_main(hub, job, source) for job, source in zip(jobs, sources, strict=True)]
    for job, commit in zip(jobs, commits, strict=True):
        _tag(hub, job, commit)
    return commits


def _gather(hub: Hub, job: _Job, progress: _Progress) -> _Source | None:
    """Bring the files to a branch or pull request, and verify them; None where main holds them already."""
    parcel = job.parcel
    if job.tagged or job.on_hub_already:
        return None
    if job.state is None:
        hub.create_repository(parcel.repository, private=job.private)
    number = None
    if job.pull_request:
        said = "Every file is verified before this is merged."
        number = hub.open_pull_request(parcel.repository, job.title, said)
        source = _name_pull_request(number)
    else:
        source = parcel.branch
        hub.create_branch(parcel.repository, source)
    there = compare_files(parcel.files, hub.list_files(parcel.repository, source))
    for part, files in enumerate(iter_commits(there.wanted), start=1):
        hub.send_files(
            parcel.repository,
            source,
            files,
            f"{job.title}, upload {part}",
            lambda file: progress.add(parcel.repository, file),
        )
    hub.delete_files(parcel.repository, source, there.unwanted, f"{job.title}: files that are gone")
    commit = hub.read_head(parcel.repository, source)
    _verify(hub, parcel, commit, f"{source}, and main is as it was")
    return _Source(commit, number)


def _move_main(hub: Hub, job: _Job, source: _Source | None) -> str:
    parcel = job.parcel
    if (tagged := _find_tagged(job)) is not None:
        return tagged
    if source is not None and source.pull_request is not None:
        hub.merge_pull_request(parcel.repository, source.pull_request)
    elif source is not None:
        hub.copy_to_main(parcel.repository, source.commit, parcel.files, job.title)
    commit = hub.read_head(parcel.repository, "main")
    _verify(hub, parcel, commit, "main, and it is not tagged")
    return commit


def _tag(hub: Hub, job: _Job, commit: str) -> None:
    parcel = job.parcel
    if not job.tagged:
        hub.create_tag(parcel.repository, parcel.tag, commit, job.title)
        _check_tagged(parcel, compare_files(parcel.files, hub.list_files(parcel.repository, parcel.tag)))
    if any(operation.action == "delete branch" for operation in job.operations):
        hub.delete_branch(parcel.repository, parcel.branch)


def _verify(hub: Hub, parcel: Parcel, commit: str, where: str) -> None:
    faults = compare_files(parcel.files, hub.list_files(parcel.repository, commit)).faults
    if faults:
        raise ReleaseError(
            f"{parcel.repository}: {len(faults)} files are not right on {where}: {'; '.join(faults[:_MOST_FAULTS])}"
            f"{' ...' if len(faults) > _MOST_FAULTS else ''}; run the same command again, and they are sent again"
        )


def _check_tagged(parcel: Parcel, difference: Difference) -> None:
    if difference.faults:
        raise ReleaseError(
            f"{parcel.repository}: {parcel.tag} is published with other files ({difference.faults[0]}), and a tag is "
            "never moved; raise `version`, build the release again and push that"
        )


def _find_tagged(job: _Job) -> str | None:
    return job.state.tags[job.parcel.tag] if job.tagged and job.state is not None else None


def _report(hub: Hub, job: _Job, commit: str | None) -> Pushed:
    parcel = job.parcel
    return Pushed(
        repository=parcel.repository,
        url=f"{hub.endpoint}/datasets/{parcel.repository}/tree/{parcel.tag}",
        tag=parcel.tag,
        commit=commit,
        private=job.private,
        load_line=f'load_dataset("{parcel.repository}", revision="{parcel.tag}")',
        named=parcel.named,
        num_files=len(parcel.files),
        num_bytes=parcel.num_bytes,
        operations=job.operations,
    )


def _check_verdict(release: Path, verdict: Verdict) -> None:
    see = f"see all with `cspine-bench release validate {release}`"
    if errors := [finding for finding in verdict.findings if finding.severity == "error"]:
        first = "; ".join(f"{finding.code} {finding.where}: {finding.message}" for finding in errors[:3])
        raise ReleaseError(f"{release}: is not valid, so nothing is pushed ({len(errors)} errors: {first}); {see}")
    if verdict.unchecked:
        first = f"{verdict.unchecked[0].where}: {verdict.unchecked[0].reason}"
        raise ReleaseError(f"{release}: could not be checked whole, so nothing is pushed ({first}); {see}")


def _check_name(repository: str) -> str:
    owner, _, name = repository.partition("/")
    sound = all(_NAME.fullmatch(part) and not re.search(r"--|\.\.|\.git$", part) for part in (owner, name))
    if not sound:
        raise ReleaseError(
            f"{repository!r} is no name of a repository on the Hub; it has the form owner/name, each of at most 96 "
            "letters, digits, `-`, `_` and `.`, neither `--` nor `..` in it, and no `-`, `.` or `.git` at the ends"
        )
    return repository


def _check_pair(release: Parcel, mirror: Parcel) -> None:
    if release.repository == mirror.repository:
        raise ReleaseError(f"{release.repository}: the release and its mirror need a repository each")
    if release.tag != mirror.tag:
        raise ReleaseError(
            f"{mirror.folder}: is the mirror of {mirror.tag}, the release is {release.tag}; build both again, in one go"
        )


def _name_pull_request(number: int) -> str:
    return f"refs/pr/{number}"


def _say_visibility(private: bool) -> str:
    return "private" if private else "public"
