"""`lipserve jobs`: a service for films, and its client."""
