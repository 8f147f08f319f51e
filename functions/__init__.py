"""One Lambda a folder: thin routes over the layer. They never import each other."""
