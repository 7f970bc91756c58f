"""Measurement of servers: spans, traces and profiles."""
