"""Workers: they take steps of jobs, and carry them out with the servers of a client."""
