"""Evaluation on clips of unseen people, beside the best that 96 pixels allow."""
