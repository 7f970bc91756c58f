"""What people look at: sheets of faces, and two videos side by side."""
