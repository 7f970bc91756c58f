"""What starts one Triton, guards its port and supervises it: the embedded server, and the pod's."""
