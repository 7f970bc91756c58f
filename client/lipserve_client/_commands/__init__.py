"""The subcommands of `lipserve`: each module has `add(subparsers)`, and the function that it sets runs."""
