"""The toy source must be importable by name: worker processes unpickle it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
