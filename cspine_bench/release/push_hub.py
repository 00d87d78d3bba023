"""The Hugging Face Hub as a push needs it: each step can be repeated, waits where it helps, and fails with one message.

A step looks first and acts on what is missing. So a repetition after a lost answer changes nothing: the Hub was seen to
answer 500 to commits that it had made. Source: huggingface/datasets pull request 7708.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from cspine_bench import __version__
from cspine_bench.errors import ReleaseError
from cspine_bench.release.push_failure import Failure, hub_http_error
from cspine_bench.release.push_plan import MAX_COMMIT_FILES, HubFile, LocalFile, compare_files, find_fault, iter_groups

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.hf_api import RepoFile

T = TypeVar("T")
OnSent = Callable[[LocalFile], None]

_LONGEST_WAIT_S: Final = 3600.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How often and how long to wait for a Hub that is busy, broken or out of reach.

    Attributes:
        retries: repetitions of one step after failures that may pass; steps that succeed start afresh.
        base_wait_s: before the first repetition; doubled each time. A `Retry-After` of the Hub goes before it.
        max_wait_s: longest wait that the Hub did not ask for.
    """

    retries: int = 4
    base_wait_s: float = 2.0
    max_wait_s: float = 60.0


@dataclass(frozen=True)
class RepositoryState:
    """A repository as it is: visibility, and commits by name of branch and tag."""

    private: bool
    branches: dict[str, str]
    tags: dict[str, str]


class Hub:
    """A connection to the Hub with the token of the standard configuration."""

    def __init__(self, *, endpoint: str | None, patience: Patience) -> None:
        from huggingface_hub import HfApi, constants, get_token

        self._patience = patience
        self._token = get_token()
        self._api = HfApi(endpoint=endpoint, library_name="cspine-bench", library_version=__version__)
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")

    def check_token(self) -> None:
        """Refuse to start without a token.

        Raises:
            ReleaseError: there is none; says how to get one.
        """
        if self._token is None:
            raise ReleaseError(
                "there is no token for the Hub; run `hf auth login` with a token that may write, or set HF_TOKEN"
            )

    def find(self, repository: str) -> RepositoryState | None:
        """What there is of a dataset repository; None: nothing that this token may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        def look() -> RepositoryState | None:
            try:
                info = self._api.dataset_info(repository)
            except RepositoryNotFoundError:
                return None
            refs = self._api.list_repo_refs(repository, repo_type="dataset")
            return RepositoryState(
                bool(info.private),
                {ref.name: ref.target_commit for ref in refs.branches},
                {ref.name: ref.target_commit for ref in refs.tags},
            )

        return self._insist(f"look for {repository}", look)

    def create_repository(self, repository: str, *, private: bool) -> None:
        """Make an empty dataset repository, unless it is there."""
        self._insist(
            f"create the repository {repository}",
            lambda: self._api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True),
        )

    def list_files(self, repository: str, revision: str) -> dict[str, HubFile]:
        """All files of a revision, by name."""
        from huggingface_hub.hf_api import RepoFile

        def look() -> dict[str, HubFile]:
            tree = self._api.list_repo_tree(repository, recursive=True, revision=revision, repo_type="dataset")
            return {entry.path: _as_hub_file(entry) for entry in tree if isinstance(entry, RepoFile)}

        return self._insist(f"list the files of {repository} at {revision}", look)

    def read_head(self, repository: str, revision: str) -> str:
        """Commit that a branch, tag or pull request is at."""

        def look() -> str:
            head = self._api.dataset_info(repository, revision=revision).sha
            if head is None:
                raise ReleaseError(f"the Hub does not say at which commit {revision} of {repository} is; try again")
            return head

        return self._insist(f"look at {revision} of {repository}", look)

    def create_branch(self, repository: str, branch: str) -> None:
        """Start a branch where main is, unless it is there."""
        self._insist(
            f"create the branch {branch} of {repository}",
            lambda: self._api.create_branch(repository, branch=branch, repo_type="dataset", exist_ok=True),
        )

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch, unless it is gone."""

        def act() -> None:
            if branch in {ref.name for ref in self._api.list_repo_refs(repository, repo_type="dataset").branches}:
                self._api.delete_branch(repository, branch=branch, repo_type="dataset")

        self._insist(f"delete the branch {branch} of {repository}", act)

    def send_files(
        self, repository: str, revision: str, files: Sequence[LocalFile], message: str, on_sent: OnSent
    ) -> None:
        """One commit with those of at most `MAX_COMMIT_FILES` files that are not there as they should be."""
        from huggingface_hub import CommitOperationAdd

        def act() -> None:
            found = self._read_paths(repository, revision, [file.name for file in files])
            additions = {}
            for file in files:
                if find_fault(file, found.get(file.name)) is not None:
                    additions[file.name] = CommitOperationAdd(file.name, file.path.resolve())
            for group in iter_groups(files):
                wanted = [additions[file.name] for file in group if file.name in additions]
                if wanted:
                    self._api.preupload_lfs_files(
                        repository, wanted, repo_type="dataset", revision=revision, free_memory=False
                    )
                for file in group:
                    on_sent(file)
            self._commit(repository, revision, list(additions.values()), message)

        with _no_bars():
            self._insist(f"upload {files[0].name} and what goes with it to {repository}", act)

    def delete_files(self, repository: str, revision: str, names: Sequence[str], message: str) -> None:
        """Commits that delete what is there of these files."""
        from huggingface_hub import CommitOperationDelete

        for start in range(0, len(names), MAX_COMMIT_FILES):
            some = list(names[start : start + MAX_COMMIT_FILES])

            def act(some: list[str] = some) -> None:
                found = self._read_paths(repository, revision, some)
                self._commit(repository, revision, [CommitOperationDelete(name) for name in found], message)

            self._insist(f"delete {some[0]} and the like from {repository}", act)

    def copy_to_main(self, repository: str, source: str, files: Sequence[LocalFile], message: str) -> str:
        """Make main hold these files and no others in one commit, from a commit that holds them: no byte is sent again.

        Args:
            repository: `owner/name`.
            source: the commit whose files were verified.
            files: what main shall hold.
            message: of the commit.

        Returns:
            The commit that main is at.
        """
        from huggingface_hub import CommitOperationCopy, CommitOperationDelete

        def act() -> str:
            head = self.read_head(repository, "main")
            difference = compare_files(files, self.list_files(repository, head))
            copies = [CommitOperationCopy(file.name, file.name, src_revision=source) for file in difference.wanted]
            deletions = [CommitOperationDelete(name) for name in difference.unwanted]
            # The parent makes the commit fail, if somebody has changed main since it was looked at.
            return self._commit(repository, "main", [*copies, *deletions], message, parent=head) or head

        return self._insist(f"move {repository} to the new version", act)

    def create_tag(self, repository: str, tag: str, commit: str, message: str) -> None:
        """Tag a commit, unless the tag is there: it is never moved."""

        def act() -> None:
            if tag not in {ref.name for ref in self._api.list_repo_refs(repository, repo_type="dataset").tags}:
                self._api.create_tag(
                    repository, tag=tag, tag_message=message, revision=commit, repo_type="dataset", exist_ok=True
                )

        self._insist(f"tag {repository} with {tag}", act)

    def find_pull_request(self, repository: str, title: str) -> int | None:
        """Number of one's own pull request of this title that is neither merged nor closed."""

        def look() -> int | None:
            own = str(self._api.whoami()["name"])
            for found in self._api.get_repo_discussions(
                repository, author=own, discussion_type="pull_request", discussion_status="all", repo_type="dataset"
            ):
                if found.title == title and found.is_pull_request and found.status in ("draft", "open"):
                    return int(found.num)
            return None

        return self._insist(f"look for pull requests of {repository}", look)

    def open_pull_request(self, repository: str, title: str, description: str) -> int:
        """Number of one's own pull request of this title; a new one, unless it is there."""

        def act() -> int:
            found = self.find_pull_request(repository, title)
            if found is not None:
                return found
            made = self._api.create_pull_request(repository, title, description=description, repo_type="dataset")
            return int(made.num)

        return self._insist(f"open a pull request of {repository}", act)

    def merge_pull_request(self, repository: str, number: int) -> None:
        """Merge a pull request, unless it is merged."""

        def act() -> None:
            status = self._api.get_discussion_details(repository, number, repo_type="dataset").status
            if status == "draft":
                self._api.change_discussion_status(repository, number, "open", repo_type="dataset")
            if status != "merged":
                self._api.merge_pull_request(repository, number, repo_type="dataset")

        self._insist(f"merge pull request {number} of {repository}, which holds every file and is verified,", act)

    def _read_paths(self, repository: str, revision: str, names: list[str]) -> dict[str, HubFile]:
        from huggingface_hub.hf_api import RepoFile

        entries = self._api.get_paths_info(repository, names, revision=revision, repo_type="dataset")
        return {entry.path: _as_hub_file(entry) for entry in entries if isinstance(entry, RepoFile)}

    def _commit(
        self,
        repository: str,
        revision: str,
        operations: "Sequence[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete]",
        message: str,
        parent: str | None = None,
    ) -> str | None:
        if not operations:
            return None
        made = self._api.create_commit(
            repository,
            operations,
            commit_message=message,
            repo_type="dataset",
            revision=revision,
            parent_commit=parent,
        )
        return str(made.oid)

    def _insist(self, doing: str, step: Callable[[], T]) -> T:
        """Do a step, again after failures that may pass."""
        tried = 0
        while True:
            try:
                return step()
            except (hub_http_error(), OSError, RuntimeError, ValueError) as error:
                if isinstance(error, OSError) and error.filename is not None:
                    raise  # of a file on this machine
                failure = Failure.of(error)
                wait = self._choose_wait(tried, failure)
                if wait is None:
                    raise ReleaseError(self._hide_token(f"cannot {doing}: {failure.explain(tried)}")) from error
                _logger.warning(
                    "%s", self._hide_token(f"cannot {doing} ({failure.said}); trying again in {wait:.0f} s")
                )
            time.sleep(wait)
            tried += 1

    def _choose_wait(self, tried: int, failure: Failure) -> float | None:
        # A conflict after a lost answer: the first try may have been carried out in the meantime.
        own_conflict = failure.status in (409, 412) and tried > 0
        if not (failure.may_pass or own_conflict) or tried >= self._patience.retries:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s if failure.retry_after_s <= _LONGEST_WAIT_S else None
        return min(self._patience.max_wait_s, self._patience.base_wait_s * 2.0**tried)

    def _hide_token(self, text: str) -> str:
        return text.replace(self._token, "(token)") if self._token else text


def _as_hub_file(entry: "RepoFile") -> HubFile:
    if entry.lfs is None:
        return HubFile(entry.path, entry.size, None, entry.blob_id)
    return HubFile(entry.path, entry.lfs.size, entry.lfs.sha256, entry.blob_id)


@contextmanager
def _no_bars() -> Iterator[None]:
    """huggingface_hub draws bars on stderr; progress is the command's."""
    import huggingface_hub.utils as bars

    disabled: bool = bars.are_progress_bars_disabled()  # type: ignore[attr-defined]  # public, though not in __all__
    if not disabled:
        bars.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if not disabled:
            bars.enable_progress_bars()  # type: ignore[attr-defined]
