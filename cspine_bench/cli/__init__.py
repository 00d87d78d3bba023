"""The command line: parse, call one function, print.

Exit codes: 0 done; 1 done, and the verdict is negative; 2 could not run; 130 stopped by Ctrl-C.
"""

import errno
from typing import Any

import click

from cspine_bench import __version__
from cspine_bench.cli.baseline import baseline
from cspine_bench.cli.cite import cite
from cspine_bench.cli.dataset import dataset
from cspine_bench.cli.ddpm import ddpm
from cspine_bench.cli.demo import demo
from cspine_bench.cli.evaluate import evaluate
from cspine_bench.cli.group import Group
from cspine_bench.cli.release import release
from cspine_bench.cli.report import report
from cspine_bench.cli.study import study
from cspine_bench.errors import CspineBenchError

INTERRUPTED = 130
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class _CannotRun(click.ClickException):
    exit_code = 2


class _Stopped(click.ClickException):
    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        click.echo(f"\nStopped. {self.format_message()}", err=True)


class _Cli(Group):
    """The root group: the one place where an exception becomes a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.params["traceback"]:
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            raise _Stopped("What is finished is kept: run the same command again, and it goes on.") from error
        except CspineBenchError as error:
            raise _CannotRun(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise _CannotRun(_explain_os_error(error)) from error
        except Exception as error:
            hint = "This is a fault of cspine-bench; `cspine-bench --traceback ...` shows where."
            raise _CannotRun(f"{type(error).__name__}: {error}\n{hint}") from error


def _explain_os_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{where}; free some and run the same command again: finished shards are kept"
    hint = "; choose a place in which you may write, or change its owner or mode" if error.errno in _REFUSED else ""
    return f"{error.strerror or error}{where}{hint}"


@click.group(cls=_Cli, context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="cspine-bench")
@click.option("--traceback", is_flag=True, help="On a failure, show the Python traceback.")
def cli(traceback: bool) -> None:
    """Publish, check and use synthetic lateral cervical-spine radiographs. Not for clinical use.

    \b
    Example:
      cspine-bench demo --out demo
    """


cli.add_command(demo)
cli.add_command(dataset)
cli.add_command(ddpm)
cli.add_command(evaluate)
cli.add_command(study)
cli.add_command(baseline)
cli.add_command(release)
cli.add_command(report)
cli.add_command(cite)


def main() -> None:
    """Entry of the `cspine-bench` command."""
    cli(prog_name="cspine-bench")
