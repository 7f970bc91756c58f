"""The command line, `lipserve`."""
