"""Tasks of the flows. Each is one step that is safe to repeat; its final state is named after its result."""
