"""Labels of every vertex: the objects' as arrays, and arrays as objects."""
