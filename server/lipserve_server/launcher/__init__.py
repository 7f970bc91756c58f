"""The launcher: starts one Triton, guards its port and supervises it. Embedded server and pod use it."""
