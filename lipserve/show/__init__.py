"""Pictures and videos for people to look at: sheets of faces, two videos side by side."""
