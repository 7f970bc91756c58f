"""What a server does with its time: spans, traces and profiles."""
