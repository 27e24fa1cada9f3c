"""What the artist has said and what is under way; no drawing."""
