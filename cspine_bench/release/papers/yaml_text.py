"""YAML that every reader reads as the same: cards and CITATION.cff."""

import re
from typing import Any, Final

import yaml

_NUMBER_OF_1_2: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
"""Source: YAML 1.2.2, 10.3.2, tag resolution of the core schema."""


def dump_yaml(values: dict[str, Any]) -> str:
    """YAML in the given order of keys, in which texts stay texts for readers of YAML 1.1 and of 1.2."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Without anchors: a list that is named twice is written twice, as people and simple readers expect."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # PyYAML knows 1.1 alone, where `1e3` and `08` are no numbers.
        style = "'" if _NUMBER_OF_1_2.fullmatch(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
