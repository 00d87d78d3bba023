from cspine_bench.dataset.load import load as load

__version__: str
