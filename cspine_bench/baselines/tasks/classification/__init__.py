"""Which class a radiograph has: curvature, disease, sex."""
