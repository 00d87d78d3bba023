"""Where radiographs come from: one module (or folder) per origin, each a `cspine_bench.dataset.source.Source`."""
