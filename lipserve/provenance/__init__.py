"""Who made a result, of what, and that it was not changed: its C2PA manifest (https://spec.c2pa.org).

`certificate` and `self_made` give a signer, `manifest` says what was made, `sign` writes it into an MP4, and
`verify` reads it back from any file. Nothing here uses the network.
"""
