"""How good a generator is: on clips of people it never saw, beside what 96 pixels allow at best."""
