"""A user's files of texts and labels: each is read the one way that is certain, or refused."""
