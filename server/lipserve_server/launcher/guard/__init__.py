"""What stands in front of Triton's port: requests are admitted, held to their form, and passed on."""
