"""The reader study: planned, sealed, served blind, and analysed as it was planned."""
