"""`cspine-bench study`: the reader study, from its power to its analysis."""

import click

from cspine_bench.cli.group import Group
from cspine_bench.cli.study_analyze import analyze
from cspine_bench.cli.study_ledger import export, status, unblind
from cspine_bench.cli.study_plan import plan
from cspine_bench.cli.study_power import power
from cspine_bench.cli.study_serve import links, revoke, serve
from cspine_bench.cli.study_simulate import simulate


@click.group(cls=Group)
def study() -> None:
    """Plan, serve and analyse a blinded reader study that asks whether readers tell synthetic from real.

    \b
    Example:
      cspine-bench study power --readers 8 --cases 50 --out results
    """


study.add_command(power)
study.add_command(plan)
study.add_command(simulate)
study.add_command(links)
study.add_command(serve)
study.add_command(revoke)
study.add_command(status)
study.add_command(unblind)
study.add_command(export)
study.add_command(analyze)
