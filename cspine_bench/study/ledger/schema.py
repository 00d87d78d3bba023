"""Table, indexes and guards of the ledger, in SQL.

The guards stop a mistake, and whoever does not know the file; who opens it with a database tool can drop them. That is
what the chain of hashes is for.
"""

from typing import Final

TABLE: Final = """
CREATE TABLE records (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  time TEXT NOT NULL,
  kind TEXT NOT NULL,
  reader TEXT,
  trial INTEGER,
  answer_id TEXT,
  body TEXT NOT NULL,
  previous TEXT NOT NULL,
  sha256 TEXT NOT NULL
)
"""

INDEXES: Final = (
    "CREATE UNIQUE INDEX first_answer_counts ON records (reader, trial) WHERE kind = 'answer'",
    "CREATE UNIQUE INDEX answer_id_once ON records (answer_id) WHERE answer_id IS NOT NULL",
    "CREATE UNIQUE INDEX kind_once ON records (kind) WHERE kind IN ('plan', 'unblind')",
    "CREATE INDEX by_kind ON records (kind, reader, trial)",
)

GUARDS: Final = {
    "never_changed": """
CREATE TRIGGER never_changed BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'records are never changed'); END""",
    "never_deleted": """
CREATE TRIGGER never_deleted BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'records are never deleted'); END""",
    # INSERT OR REPLACE deletes without asking the guard above.
    "never_replaced": """
CREATE TRIGGER never_replaced BEFORE INSERT ON records
WHEN EXISTS (SELECT 1 FROM records WHERE seq = NEW.seq)
  OR EXISTS (SELECT 1 FROM records WHERE answer_id = NEW.answer_id)
  OR (NEW.kind = 'answer' AND EXISTS
      (SELECT 1 FROM records WHERE kind = 'answer' AND reader = NEW.reader AND trial = NEW.trial))
BEGIN SELECT RAISE(ABORT, 'records are never replaced'); END""",
    "no_answer_after_unblinding": """
CREATE TRIGGER no_answer_after_unblinding BEFORE INSERT ON records
WHEN NEW.kind = 'answer' AND EXISTS (SELECT 1 FROM records WHERE kind = 'unblind')
BEGIN SELECT RAISE(ABORT, 'no answer counts after unblinding'); END""",
}
