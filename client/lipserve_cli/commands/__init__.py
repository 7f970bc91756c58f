"""The commands, one module each: `configure` adds the arguments to a parser, `run` executes the command."""
