"""The list of everything that lakeserve promises to answer, and the table that is made from it."""
