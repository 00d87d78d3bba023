"""What the server knows while it serves: the study, its ledger, its frames, and who is asking."""

from cspine_bench.errors import DataError
from cspine_bench.study.app.group_commit import GroupCommit
from cspine_bench.study.folder import StudyFolder, check_frames, load_schedule, read_frame
from cspine_bench.study.ledger.answers import current_trial
from cspine_bench.study.ledger.links import hash_token, is_token, list_links
from cspine_bench.study.ledger.store import Ledger
from cspine_bench.study.schedule import Schedule, pane_id


class Desk:
    """A study that is being served."""

    def __init__(self, study: StudyFolder, writer: GroupCommit, ledger: Ledger) -> None:
        """Check a study and take it up.

        Args:
            study: to serve.
            writer: to the ledger.
            ledger: the same one, opened once more: whoever reads waits for no write, and sees what is on the disk.

        Raises:
            DataError: its schedule, frames or ledger are not what they were, or it was unblinded.
        """
        self.study = study
        self.ledger = ledger
        self.schedule: Schedule = load_schedule(study)
        check_frames(study)  # Reads them all, which also leaves them equally at hand, first or repeated.
        ledger.verify()
        if any(ledger.iter_records("unblind")):
            raise DataError(f"{study.paths.folder}: was unblinded, and takes no more answers; export or analyse it")
        self.writer = writer
        self._links: dict[str, str] = {}
        self._links_seq: int | None = None

    def find_reader(self, token: str) -> str | None:
        """Whose link this is; None: nobody's. Sees at once what another process issued or revoked."""
        if not is_token(token):
            return None
        seq = self.ledger.query("SELECT max(seq) FROM records WHERE kind IN ('enrol', 'revoke')")[0][0]
        if seq != self._links_seq:
            self._links, self._links_seq = list_links(self.ledger), seq
        return self._links.get(hash_token(token))

    def find_trial(self, reader: str) -> int | None:
        """Place of the reader's current trial; None: all are answered."""
        return current_trial(self.ledger, self.schedule, reader)

    def count_trials(self, reader: str) -> int:
        """All trials of a reader."""
        return len(self.schedule.find(reader).trials)

    def list_panes(self, reader: str, trial: int) -> list[str]:
        """Opaque ids of a trial's images, from left to right."""
        frames = self.schedule.find(reader).trials[trial].frames
        return [pane_id(self.schedule, reader, trial, pane) for pane in range(len(frames))]

    def find_frame(self, reader: str, pane: str) -> bytes | None:
        """Pixels of an image of the reader's current trial; None for all others, and for ids that are none.

        Raises:
            DataError: its pixels are no longer what was frozen.
        """
        trial = self.find_trial(reader)
        if trial is None or pane not in (panes := self.list_panes(reader, trial)):
            return None
        number = self.schedule.find(reader).trials[trial].frames[panes.index(pane)]
        return read_frame(self.study, number)
