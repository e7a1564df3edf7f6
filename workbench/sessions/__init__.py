"""What is kept of a piece of work: sessions, each a folder."""
