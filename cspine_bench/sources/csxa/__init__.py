"""CSXA: 4,963 lateral cervical radiographs with 23 points each, and a sheet of labels.

Source: Ran et al. 2024, Scientific Data, s41597-024-03383-0; data at ScienceDB, 10.57760/sciencedb.15391, V3.0. The
dataset's own licence is not stated; this package ships none of its pixels.
"""

from cspine_bench.sources.csxa.source import CsxaSource, write_import_report

__all__ = ["CsxaSource", "write_import_report"]
