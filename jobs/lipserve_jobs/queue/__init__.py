"""NATS JetStream: the records of jobs, the work that waits, and what is to be told."""
