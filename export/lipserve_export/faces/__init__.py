"""The leaves that find faces: the detector and the face mesh."""
