"""The world, passive: the journal's files and the control store."""
