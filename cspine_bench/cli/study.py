"""`cspine-bench study`: the reader study, from its power to its analysis."""

import click


@click.group()
def study() -> None:
    """Plan, serve and analyse a blinded reader study: can readers tell synthetic radiographs from real ones?

    \b
    Example:
      cspine-bench study power --readers 8 --cases 50 --out results
    """
