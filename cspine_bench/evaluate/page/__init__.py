"""Pages of pictures and plots that show what a result rests on: self-contained HTML."""
