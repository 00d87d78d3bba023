"""Planning a reader study: display sets drawn and matched, panes and orders dealt, leaks looked for, truth sealed."""
