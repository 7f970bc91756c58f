"""Everything on one machine: NATS, Triton, a worker, the gateway."""
