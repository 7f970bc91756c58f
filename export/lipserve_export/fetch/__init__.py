"""Files that weights come from: downloads, the shipped ones, and checkpoints of every form."""
