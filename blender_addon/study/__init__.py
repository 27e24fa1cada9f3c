"""Study mode: a person clicks given objects of a labelled scan, and every click is kept with its time."""
