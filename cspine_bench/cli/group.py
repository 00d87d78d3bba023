"""Groups of commands, whose help lists them in the order in which they are used, each with its whole sentence."""

import click


class Group(click.Group):
    """A group as `click.Group`, but in the order of `add_command`, and with no sentence cut short."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order in which the commands were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the first sentence of its help."""
        rows = [
            (name, (command.help or "").split("\n\n")[0].replace("\n", " ")) for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
