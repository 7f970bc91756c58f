"""The commands, a module each: `configure` says what a parser takes, `run` carries it out."""
