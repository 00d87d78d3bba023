"""What every measurement shares: its inputs, the parts it keeps, its figures, and the folder of its answer."""
