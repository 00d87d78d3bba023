"""Whether training films were copied: how hard was looked, with what power, and what was found."""
