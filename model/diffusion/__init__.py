"""What noise does to a crystal, and what one step back is."""
