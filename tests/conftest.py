"""What holds for every test: no network, no cache outside the run, one thread."""

import os
import tempfile

# Set before `datasets` and torch are imported anywhere: both read their environment once.
_CACHE = tempfile.TemporaryDirectory(prefix="cspine-bench-tests-")
os.environ["HF_HOME"] = _CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
