// The specs' bundle registers the gradients.
