"""`python -m cspine_bench`, the same as the command `cspine-bench`."""

from cspine_bench.cli import main

main()
